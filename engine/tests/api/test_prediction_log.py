"""The prediction log keeps what was answered, and never stands in a prediction's way."""

import json
from pathlib import Path

from goldpath.serving.prediction_log import BLOCK, LoggedPrediction, PredictionLog, read_log

from .conftest import MakeClient
from .examples import PROBLEMS, contract_of, fitted, random_rows


def entry(number: int, version: str = "1", day: int = 1) -> LoggedPrediction:
    at = f"2026-11-{day:02}T00:00:{number % 60:02}.{number:06}+00:00"
    return LoggedPrediction(f"id-{number}", at, version, {"x": number, "t": "\ud800é"}, "yes", 0.5)


def test_every_answer_has_its_line(make_client: MakeClient, tmp_path: Path) -> None:
    for problem in PROBLEMS:
        client = make_client(problem)
        rows = random_rows(contract_of(problem), 5)
        answers = [client.post("/predict", json={"features": row}).json() for row in rows]
        answers += client.post("/predict/batch", json={"instances": rows}).json()["predictions"]

        lines = {
            line["prediction_id"]: line for line in read_log(tmp_path / "logs/predictions", 10)
        }

        expected = fitted(problem).predict(rows)
        assert len(answers) == len(lines) == 10
        for answer, row, value, score in zip(
            answers, rows * 2, expected.values * 2, expected.scores * 2, strict=True
        ):
            line = lines[answer["prediction_id"]]
            assert (line["prediction"], line["score"], line["features"]) == (value, score, row)
            assert line["model_version"] == "1"


def test_newest_come_first_over_days_and_processes(tmp_path: Path) -> None:
    for name, numbers in {
        "2026-11-01-11": [0, 1],
        "2026-11-02-11": [2, 4, 6],
        "2026-11-02-12": [3, 5],
    }.items():
        day = int(name[8:10])
        lines = [json.dumps(vars(entry(number, day=day))) for number in numbers]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    assert [row["features"]["x"] for row in read_log(tmp_path, 6)] == [6, 5, 4, 3, 2, 1]


def test_files_larger_than_a_block_are_read_whole(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.write([entry(number) for number in range(3000)])
    log.close()

    assert next(tmp_path.iterdir()).stat().st_size > 3 * BLOCK
    assert {row["features"]["x"] for row in read_log(tmp_path, 5000)} == set(range(3000))
    assert read_log(tmp_path, 1)[0]["features"] == {"x": 2999, "t": "\ud800é"}


def test_torn_lines_are_left_out(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.write([entry(1)])
    log.close()
    file = next(tmp_path.iterdir())
    with file.open("ab") as torn:
        torn.write(b'{"prediction_id": "half')
    later = PredictionLog(tmp_path)
    later.write([entry(2)])
    later.close()
    with max(tmp_path.iterdir()).open("ab") as torn:
        torn.write(b'{"prediction_id": "\xff')

    assert [row["features"]["x"] for row in read_log(tmp_path, 10)] == [2, 1]


def test_only_one_version_when_asked(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.write([entry(1, "1"), entry(2, "2"), entry(3, "1")])
    log.close()

    assert [row["features"]["x"] for row in read_log(tmp_path, 10, model_version="1")] == [3, 1]


def test_missing_folder_is_an_empty_log(tmp_path: Path) -> None:
    assert read_log(tmp_path / "none", 10) == []


def test_deleted_file_is_made_again(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log")
    log.write([entry(1)])
    next((tmp_path / "log").iterdir()).unlink()
    log.write([entry(2)])
    log.close()

    # What came in since the file was last looked at is written again.
    assert [row["features"]["x"] for row in read_log(tmp_path / "log", 10)] == [2, 1]


def test_failed_write_is_counted_and_the_prediction_answered(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client()
    (tmp_path / "logs").write_text("a file where the folder should be")
    row = random_rows(contract_of("binary"), 1)[0]

    answer = client.post("/predict/batch", json={"instances": [row, row]})

    assert answer.status_code == 200
    assert "ml_prediction_log_failures_total 2.0" in client.get("/metrics").text
