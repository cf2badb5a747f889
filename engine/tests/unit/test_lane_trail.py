"""What a request of the lane leaves behind: a line of the access log, and a span."""

import logging
import random
from types import SimpleNamespace
from typing import Any

import pytest

from goldpath.serving.lane.request_heads import Head
from goldpath.serving.lane.trail import lane_trail
from goldpath.settings import Settings, load_settings


def settings_of(project: Settings, monkeypatch: pytest.MonkeyPatch, **values: object) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"MLOPS_SERVING__{name.upper()}", str(value).lower())
    return load_settings(project.root)


def test_a_request_of_the_lane_leaves_a_line_where_lines_are_wanted(
    project: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    off = settings_of(project, monkeypatch, access_log=False, access_log_share=1)
    assert lane_trail(off, None) is None
    none = settings_of(project, monkeypatch, access_log=True, access_log_share=0)
    assert lane_trail(none, None) is None
    half = settings_of(project, monkeypatch, access_log=True, access_log_share=0.5)
    leave = lane_trail(half, None)
    assert leave is not None
    draws = iter([0.49, 0.5, 0.2])
    monkeypatch.setattr(random, "random", lambda: next(draws))
    with caplog.at_level(logging.INFO, "goldpath.access"):
        for name in (b"a", b"b", b"c"):
            leave(Head("/predict", request_id=name), 10.0, 10.25)
    fields = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert [each["request_id"] for each in fields] == ["a", "c"]
    assert {(each["method"], each["route"], each["status"]) for each in fields} == {
        ("POST", "/predict", 200)
    }
    assert [each["milliseconds"] for each in fields] == [250.0, 250.0]


def test_a_request_of_the_lane_leaves_a_span_where_traces_are_wanted(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = settings_of(project, monkeypatch, access_log=False)
    spans: list[tuple[Any, ...]] = []
    tracing: Any = SimpleNamespace(record=lambda *span: spans.append(span))
    leave = lane_trail(off, tracing)
    assert leave is not None
    leave(Head("/predict", request_id=b"a"), 10.0, 10.25)
    leave(Head("/predict/batch", request_id=b"b", trace=b"00-1"), 10.0, 11.0)
    assert spans == [
        ("POST", "/predict", {}, "a", 0.25),
        ("POST", "/predict/batch", {"traceparent": "00-1"}, "b", 1.0),
    ]
