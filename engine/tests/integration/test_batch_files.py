"""Batch inference from Parquet to Parquet answers what the service answers, to the last bit."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goldpath.compiled.compiler import compile_pipeline
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract
from goldpath.jobs.batch import files as batch_files
from goldpath.jobs.batch.file_scorer import BatchScorer
from goldpath.jobs.batch.files import predict_file, score_files
from goldpath.privacy.suppression import Suppression
from goldpath.settings import load_settings
from goldpath.sources.files import SourceError

from ..api.examples import TARGETS, contract_of, fitted, random_rows
from ..api.running_service import project_with_champion, running
from ..ready_made import kernels

ROWS, ROWS_A_REQUEST, SINGLE_ROWS = 100_000, 1000, 200
TYPES = {"boolean": pa.bool_(), "integer": pa.int64(), "number": pa.float64()}


def write_rows(file: Path, contract: Contract, rows: list[dict[str, Any]]) -> Path:
    schema = pa.schema(
        [(feature.name, TYPES.get(feature.type, pa.string())) for feature in contract.features]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), file, row_group_size=30_000)
    return file


def compiled(problem: str) -> CompiledModel:
    model = fitted(problem)
    form = compile_pipeline(model.pipeline, model.contract)
    return CompiledModel(form, model.contract, kernels=kernels())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "scores.parquet"


@pytest.mark.slow
def test_batch_and_online_answers_to_100_000_rows_have_the_same_bits(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_with_champion(tmp_path)
    contract = contract_of("binary")
    rows = random_rows(contract, ROWS)
    file = write_rows(tmp_path / "rows.parquet", contract, rows)
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))

    result = predict_file(load_settings(tmp_path), contract, file, out)

    written = pq.read_table(out)
    scores, labels = written["score"].to_pylist(), written["prediction"].to_pylist()
    positive = contract.target.classes[1]
    assert (result.rows, result.refused_rows, result.model_version) == (ROWS, 0, "1")
    assert written["row"].to_pylist() == list(range(1, ROWS + 1))
    with running(tmp_path) as service, httpx.Client(base_url=service.url) as client:
        online: list[dict[str, Any]] = []
        for start in range(0, ROWS, ROWS_A_REQUEST):
            body = {"instances": rows[start : start + ROWS_A_REQUEST]}
            online += client.post("/predict/batch", json=body).json()["predictions"]
        assert [each["probabilities"][positive].hex() for each in online] == [
            score.hex() for score in scores
        ]
        assert [each["prediction"] for each in online] == labels
        for place in random.Random(3).sample(range(ROWS), SINGLE_ROWS):
            alone = client.post("/predict", json={"features": rows[place]}).json()
            assert alone["probabilities"][positive].hex() == scores[place].hex()
            assert alone["prediction"] == labels[place]


@pytest.mark.parametrize("problem", list(TARGETS))
def test_the_pipeline_itself_scores_where_there_is_no_compiled_form(
    problem: str, tmp_path: Path, out: Path
) -> None:
    contract = contract_of(problem)
    file = write_rows(tmp_path / "rows.parquet", contract, random_rows(contract, 500))
    score_files(BatchScorer(compiled(problem), contract, "1"), [file], out)
    fast = pq.read_table(out)

    score_files(BatchScorer(fitted(problem), contract, "1"), [file], out)

    slow = pq.read_table(out)
    assert slow.schema.equals(fast.schema)
    assert slow["score"].to_pylist() == pytest.approx(fast["score"].to_pylist(), abs=1e-9)
    for name in fast.column_names:
        if name.startswith("probability_"):
            assert slow[name].to_pylist() == pytest.approx(fast[name].to_pylist(), abs=1e-9)


def test_a_refused_row_has_no_prediction_and_says_why(tmp_path: Path, out: Path) -> None:
    contract = contract_of("binary")
    rows = random_rows(contract, 300)
    closed = next(f for f in contract.features if f.categories)
    bounded = next(f for f in contract.features if f.minimum is not None and f.type == "number")
    rows[7][closed.name] = "never heard of"
    rows[8][bounded.name] = float("inf")
    rows[9][bounded.name] = (bounded.minimum or 0) - 1
    file = write_rows(tmp_path / "rows.parquet", contract, rows)

    totals = score_files(BatchScorer(compiled("binary"), contract, "1"), [file], out)

    written = pq.read_table(out).to_pylist()
    assert (totals.rows, totals.refused) == (297, 3)
    assert [row["row"] for row in written if row["prediction"] is None] == [8, 9, 10]
    assert written[7]["refused"] == f"{closed.name}: is not one of its categories"
    assert written[8]["refused"] == f"{bounded.name}: is not a finite number"
    assert written[9]["refused"] == f"{bounded.name}: is below {bounded.minimum:g}"
    assert written[7]["score"] is None
    assert written[6]["refused"] is None


def test_a_run_that_fails_leaves_the_former_file_and_nothing_else(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_files, "ROWS_A_CHUNK", 100)
    contract = contract_of("binary")
    scorer = BatchScorer(compiled("binary"), contract, "1")
    whole = write_rows(tmp_path / "a.parquet", contract, random_rows(contract, 2000))
    damaged = write_rows(tmp_path / "b.parquet", contract, random_rows(contract, 2000))
    content = bytearray(damaged.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    damaged.write_bytes(bytes(content))
    score_files(scorer, [whole], out)
    before = out.read_bytes()
    (out.parent / f".{out.name}.999999999.part").write_bytes(b"of a run that was killed")

    with pytest.raises(SourceError, match=r"b\.parquet is damaged"):
        score_files(scorer, [whole, damaged], out)

    assert out.read_bytes() == before
    assert [file.name for file in out.parent.iterdir()] == [out.name]


def test_several_files_are_one_answer_in_the_order_of_their_names(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = contract_of("binary")
    scorer = BatchScorer(compiled("binary"), contract, "1")
    rows = random_rows(contract, 1000)
    together = write_rows(tmp_path / "all.parquet", contract, rows)
    parts = [
        write_rows(tmp_path / f"{place}.parquet", contract, rows[place * 250 : (place + 1) * 250])
        for place in range(4)
    ]
    score_files(scorer, [together], out)
    expected = pq.read_table(out)
    monkeypatch.setattr(batch_files, "ROWS_A_CHUNK", 64)

    score_files(scorer, parts, out)

    assert pq.read_table(out).combine_chunks().equals(expected.combine_chunks())


def test_a_column_of_another_type_is_named(tmp_path: Path, out: Path) -> None:
    contract = contract_of("binary")
    number = next(f.name for f in contract.features if f.type == "number")
    table = pq.read_table(write_rows(tmp_path / "a.parquet", contract, random_rows(contract, 5)))
    place = table.column_names.index(number)
    text = table.set_column(place, number, table[number].cast(pa.string()))
    pq.write_table(text, tmp_path / "a.parquet")

    with pytest.raises(SourceError, match=f"column {number} is string; expected numbers"):
        score_files(
            BatchScorer(compiled("binary"), contract, "1", Suppression()),
            [tmp_path / "a.parquet"],
            out,
        )

    assert not out.exists()


@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "pipeline"])
def test_a_threshold_adds_the_columns_of_the_decision(
    tmp_path: Path, out: Path, is_compiled: bool
) -> None:
    contract = contract_of("binary")
    file = write_rows(tmp_path / "rows.parquet", contract, random_rows(contract, 50))
    model = compiled("binary") if is_compiled else fitted("binary")
    decided = contract.with_threshold(0.3)
    if isinstance(model, CompiledModel):
        model = CompiledModel(model.form, decided, kernels=kernels())
    else:
        model = replace(model, contract=decided)

    score_files(BatchScorer(model, contract, "1"), [file], out)

    found = pq.read_table(out).to_pandas()
    assert (found["threshold"] == 0.3).all()
    assert (found["decision"] == found["prediction"]).all()
    assert set(found["decision"][found["score"] > 0.3]) == {contract.target.positive}
