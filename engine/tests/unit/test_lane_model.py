"""One model of the lane: when its rows were asked, and who answers what it could not."""

import json
import logging
import time
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from goldpath.contract import Contract, parse_contract
from goldpath.model_version import ModelVersion
from goldpath.serving.lane.model import LaneModel
from goldpath.serving.lane.request_structs import DecodedRow
from goldpath.serving.metrics.service import REGRESSION_LABEL
from goldpath.serving.predictor import Champion

CONTRACT = parse_contract(
    "dataset: small\nsource:\n  path: rows.csv\nproblem: regression\ntarget: {column: amount}\n"
    "entity: shop\nfeatures:\n  - {name: a, type: number}\n"
)
SECOND = 1_000_000_000


class Log:
    """Keeps the lines of the prediction log."""

    personal = None

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def append(self, lines: bytes, _count: int) -> bool:
        self.lines += [json.loads(line) for line in lines.splitlines()]
        return True


class Served:
    """A model that doubles what it gets, or fails."""

    def __init__(self, contract: Contract, *, is_broken: bool = False) -> None:
        self.contract, self.is_broken = contract, is_broken

    def predict(self, rows: list[dict[str, Any]]) -> Any:
        if self.is_broken:
            raise RuntimeError("the model is broken")
        values = [2 * row["a"] for row in rows]
        return SimpleNamespace(values=values, scores=values, probabilities=None, lines=None)


def lane_model(log: Any, *, is_broken: bool = False, entities: Any = None) -> LaneModel:
    served: Any = Served(CONTRACT, is_broken=is_broken)
    champion = Champion(ModelVersion("small", "1", "run", ("champion",), {}), served)
    shadow: Any = SimpleNamespace(wants=lambda _: False)
    counters = {REGRESSION_LABEL: lambda _: None}
    return LaneModel(champion, CONTRACT, 9, log, counters, shadow, entities)


def rows(*values: float, entity: str | None = None) -> list[DecodedRow]:
    return [DecodedRow({"a": value}, (value,), entity) for value in values]


def test_each_row_is_logged_with_the_microsecond_of_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, now = Log(), 1_700_000_000 * SECOND
    model = lane_model(log)
    for passed in (123_456_789, 0, 999_999_999, SECOND, SECOND + 1_000, 86_400 * SECOND):
        monkeypatch.setattr(time, "time_ns", lambda at=now + passed: at)
        assert model.answers(rows(1.5))[0] is not None

    assert [line["at"] for line in log.lines] == [
        "2023-11-14T22:13:20.123456+00:00",
        "2023-11-14T22:13:20.000000+00:00",
        "2023-11-14T22:13:20.999999+00:00",
        "2023-11-14T22:13:21.000000+00:00",
        "2023-11-14T22:13:21.000001+00:00",
        "2023-11-15T22:13:20.000000+00:00",
    ]


def test_what_a_model_cannot_answer_is_the_apps_row_by_row(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Log()
    with caplog.at_level(logging.ERROR):
        assert lane_model(log, is_broken=True).answers(rows(1, 2, 3)) == [None] * 3
        found: Any = [("no number",), (1.0,)]
        assert lane_model(log).written(rows(1, 2), found) == [None] * 2
    assert [each.message for each in caplog.records] == [
        "the fast lane failed; the app answers"
    ] * 2
    assert log.lines == []


def test_rows_whose_windows_the_lane_cannot_look_up_are_the_apps(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[tuple[list[str | None], datetime]] = []

    def complete(of: list[DecodedRow], at: datetime) -> None:
        asked.append(([row.entity for row in of], at))

    log = Log()
    entities = SimpleNamespace(sent=["a"], complete=complete)
    model = lane_model(log, entities=lambda _: entities)
    with caplog.at_level(logging.ERROR):
        assert model.answers(rows(1, 2, entity="s1")) == [None, None]
    assert [of for of, _ in asked] == [["s1", "s1"]]
    assert caplog.records == [], "the store being away is no fault of the lane"
    assert log.lines == []
