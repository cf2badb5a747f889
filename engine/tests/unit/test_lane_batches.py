"""Batches without Python objects: which are read so, and what an item of the answer shows."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from goldpath.compiled.form import CompiledForm, Encoder, Weights
from goldpath.compiled.json_rows import JsonRows, LineParts
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract, GroupThresholds, parse_contract
from goldpath.learning.decision.threshold import rule_of
from goldpath.model_version import ModelVersion
from goldpath.serving.lane import batch_rows
from goldpath.serving.lane.batch_rows import BatchWriter
from goldpath.serving.lane.model import LaneModel
from goldpath.serving.lane.request_structs import DecodedBatch
from goldpath.serving.predictor import Champion

CONTRACT = parse_contract(
    "dataset: small\nsource:\n  path: rows.csv\nproblem: classification\n"
    "target: {column: left, classes: ['no', 'yes']}\nfeatures:\n"
    "  - {name: a, type: number}\n"
    "  - {name: land, type: category, nullable: true, categories: [north, south, west]}\n"
)
LINES = {"north": 0.75, "south": 0.25}
COMMON = 0.5


class Reader:
    """In place of the reader in C: takes every body."""

    def __init__(self, *_: Any) -> None:
        pass

    def read(self, _body: bytes) -> JsonRows:
        return JsonRows(
            np.zeros((1, 1)), np.zeros((1, 1), np.int32), np.zeros((1, 2)), (b"", np.zeros(0))
        )


class Writer:
    """In place of the writer in C: the items, as `LineParts` says them."""

    def __init__(self, parts: LineParts, outputs: int, _library: Path) -> None:
        self._parts, self._outputs = parts, outputs

    def write(
        self, _rows: Any, best: np.ndarray, floats: bytes, first_id: str, _stamp: bytes
    ) -> tuple[memoryview, bytes]:
        before, behind, end = self._parts.item
        shown = (*self._parts.labels, *self._parts.others)
        numbers = floats.decode().split(",")
        items = []
        for row, place in enumerate(best.tolist()):
            own = numbers[row * self._outputs :]
            outputs = "".join(map("".join, zip(self._parts.outputs, own, strict=False)))
            items.append(f"{before}{shown[place]}{outputs}{behind}{first_id}{row}{end}")
        return memoryview(b""), ",".join(items).encode()


@pytest.fixture(autouse=True)
def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_rows, "RowReader", Reader)
    monkeypatch.setattr(batch_rows, "RowWriter", Writer)


def contract_with(
    thresholds: dict[str, float] | None = None, unsure: tuple[float, float] | None = None
) -> Contract:
    groups = None
    if thresholds is not None:
        groups = GroupThresholds("land", "demographic_parity", 0.02, thresholds, {})
    return CONTRACT.with_parts(
        decision_threshold=COMMON, decision_unsure=unsure, decision_groups=groups
    )


def form() -> CompiledForm:
    one = np.zeros(1)
    encoder = Encoder(
        *(np.zeros(1, np.uint8), np.zeros(1, np.int32), one, one, one + 1),
        *(np.zeros(1, np.int32), one),
    )
    return CompiledForm(
        numbers=("a",),
        categories={"land": ("north", "south", "west")},
        encoder=encoder,
        model=Weights(np.ones((1, 1))),
        bias=one,
        divisor=1.0,
        link="logistic",
        classes=("no", "yes"),
    )


def items_of(contract: Contract, rows: list[tuple[str | None, float]]) -> list[dict[str, Any]]:
    """What a batch of rows, each its group and its probability of the positive class, shows."""
    of = form()
    writer = BatchWriter(contract, of, "small", "1", Path("kernel"))
    codes = np.array([[of.codes["land"][land]] for land, _ in rows], np.int32)
    read = JsonRows(np.zeros((len(rows), 1)), codes, np.zeros((len(rows), 2)), (b"", codes))
    answers = np.array([[1 - score, score] for _, score in rows])
    lines = writer.lines_of(read)
    best = rule_of(contract).labels(answers, lines)
    _, body = writer.write(read, answers, best, "id", "2026-01-01", lines)
    answer: dict[str, Any] = json.loads(body)
    assert (answer["model_name"], answer["model_version"]) == ("small", "1")
    assert [item["prediction_id"] for item in answer["predictions"]] == [
        f"id{row}" for row in range(len(rows))
    ]
    for item, (_, score) in zip(answer["predictions"], rows, strict=True):
        assert item["probabilities"] == {"no": 1 - score, "yes": score}
    items: list[dict[str, Any]] = answer["predictions"]
    return items


SCORES = (0.125, 0.375, 0.625, 0.875)
ROWS = [(land, score) for land in ("north", "south", "west", None) for score in SCORES]


@pytest.mark.parametrize("unsure", [None, (0.3, 0.4), (0.6, 0.9)], ids=str)
def test_a_batch_shows_the_decision_and_the_threshold_of_each_group(
    unsure: tuple[float, float] | None,
) -> None:
    if unsure is None:
        items = items_of(contract_with(LINES), ROWS)
        lines = [LINES.get(str(land), COMMON) for land, _ in ROWS]
    else:
        items = items_of(contract_with(unsure=unsure), ROWS)
        lines = [COMMON] * len(ROWS)
    for item, (_, score), line in zip(items, ROWS, lines, strict=True):
        expected = "yes" if score > line else "no"
        left_open = unsure is not None and unsure[0] <= score <= unsure[1]
        assert item["prediction"] == expected
        assert item["decision"] == ("unsure" if left_open else expected)
        assert item["threshold"] == line


@pytest.mark.parametrize(
    ("thresholds", "kind"),
    [(None, JsonRows), (LINES, JsonRows), ({"east": 0.25}, DecodedBatch)],
    ids=["one threshold", "known groups", "a group without a code"],
)
def test_a_batch_is_read_without_python_objects_where_codes_tell_the_groups(
    thresholds: dict[str, float] | None, kind: type
) -> None:
    contract = contract_with(thresholds)
    model = CompiledModel(form(), contract, threads=1)
    model.library = Path("kernel")
    champion = Champion(ModelVersion("small", "1", "run", ("champion",), {}), model)
    log: Any = SimpleNamespace(personal=None)
    shadow: Any = SimpleNamespace(wants=lambda _: False)
    found = LaneModel(champion, CONTRACT, 9, log, {}, shadow)

    body = json.dumps({"instances": [{"a": 1, "land": "north"}]}).encode()

    assert isinstance(found.rows(body), kind)
