"""A person's lines leave the prediction log; nobody else's do, not even beside a busy service."""

import json
import tempfile
import threading
from multiprocessing import get_context
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from goldpath.serving.log.erasure import erase_lines, holds_lines, lines_of
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog, read_log


def logged(number: int, entity: str | None) -> LoggedPrediction:
    return LoggedPrediction(
        f"p{number}", f"2026-01-01T00:00:{number % 60:02d}", "1", {"a": 1}, "no", 0.5, entity
    )


def ids(folder: Path) -> list[str]:
    return sorted(row["prediction_id"] for row in read_log(folder, 1_000_000))


def test_only_the_persons_lines_go(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    entities = ["ann", " ann ", "annabel", None, "bob", 'a"nn', "ännä"]
    log.write([logged(n, entity) for n, entity in enumerate(entities)])
    assert holds_lines(tmp_path, "ann") == 2
    assert [row["prediction_id"] for row in lines_of(tmp_path, "ann")] == ["p0", "p1"]
    assert erase_lines(tmp_path, "ann") == 2
    assert ids(tmp_path) == ["p2", "p3", "p4", "p5", "p6"]
    assert erase_lines(tmp_path, 'a"nn') == 1
    assert erase_lines(tmp_path, "ännä") == 1
    assert ids(tmp_path) == ["p2", "p3", "p4"]


def test_a_segment_without_the_person_is_not_touched(tmp_path: Path) -> None:
    PredictionLog(tmp_path).write([logged(1, "bob")])
    (file,) = tmp_path.iterdir()
    before = file.stat()
    assert erase_lines(tmp_path, "ann") == 0
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_other_lines_stay_where_they_are(tmp_path: Path) -> None:
    PredictionLog(tmp_path).write([logged(1, "ann"), logged(2, "bob")])
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    assert erase_lines(tmp_path, "ann") == 1
    after = file.read_bytes()
    assert len(after) == len(before)
    assert after.split(b"\n")[1:] == before.split(b"\n")[1:]


def test_a_torn_line_with_the_id_goes(tmp_path: Path) -> None:
    file = tmp_path / "2026-01-01-1.jsonl"
    whole = json.dumps({"prediction_id": "p1", "entity": "bob"})
    file.write_text(whole + '\n{"prediction_id": "p2", "entity": "an-7b3f', encoding="utf-8")
    assert erase_lines(tmp_path, "an-7b3f") == 1
    assert file.read_text(encoding="utf-8").rstrip(" ") == whole + "\n"


def test_an_id_is_found_however_json_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "2026-01-01-1.jsonl"
    line = {"prediction_id": "p1", "entity": 'ä"n\\'}
    file.write_text(
        json.dumps(line) + "\n" + json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    assert erase_lines(tmp_path, 'ä"n\\') == 2
    assert file.read_text(encoding="utf-8").split() == []


@given(length=st.integers(0, 120))
def test_an_erasure_killed_at_any_byte_is_finished_by_the_next(length: int) -> None:
    line = json.dumps({"prediction_id": "p1", "entity": "an-7b3f", "features": {"a": "secret"}})
    at = line.index("an-7b3f")
    # Blanks go over everything but the id first, and over the id last.
    rest = [*range(at), *range(at + 7, len(line)), *range(at, at + 7)]
    killed = list(line)
    for position in rest[:length]:
        killed[position] = " "
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "2026-01-01-1.jsonl"
        file.write_text("".join(killed) + "\n", encoding="utf-8")
        erase_lines(Path(folder), "an-7b3f")
        left = file.read_text(encoding="utf-8")
    # Within the id itself a kill leaves a part of it, and nothing else of the line.
    assert "secret" not in left
    assert left.strip() in "an-7b3f"


def test_a_log_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert erase_lines(tmp_path / "none", "ann") == 0
    assert lines_of(tmp_path / "none", "ann") == []


def write_many(folder: Path, first: int, count: int) -> None:
    log = PredictionLog(folder)

    def write(start: int) -> None:
        for number in range(start, first + count, 2):
            log.write([logged(number, "ann" if number % 3 == 0 else "bob")])

    threads = [threading.Thread(target=write, args=(start,)) for start in (first, first + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_no_line_of_others_is_lost_beside_writers(tmp_path: Path) -> None:
    count, writers = 3_000, 2
    context = get_context("spawn")
    processes = [
        context.Process(target=write_many, args=(tmp_path, number * count, count))
        for number in range(writers)
    ]
    for process in processes:
        process.start()
    erased = 0
    while any(process.is_alive() for process in processes):
        erased += erase_lines(tmp_path, "ann")
    for process in processes:
        process.join()
        assert process.exitcode == 0
    erased += erase_lines(tmp_path, "ann")
    everyone = range(count * writers)
    assert erased == sum(n % 3 == 0 for n in everyone)
    assert ids(tmp_path) == sorted(f"p{n}" for n in everyone if n % 3)
