"""What checks leave that compared nothing: when a source was judged outlives them all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from goldpath.jobs.drift.current_rows import Source
from goldpath.jobs.drift.history import history_file
from goldpath.jobs.drift.nothing_compared import NothingCompared, write_nothing_compared
from goldpath.jobs.drift.written_reports import judged_marks
from goldpath.model_version import ModelVersion
from goldpath.reports import write_report
from goldpath.serving.metrics.reports import read_json
from goldpath.settings import Settings, load_settings

from ..locations import PROJECT

NOW = datetime(2026, 11, 30, tzinfo=UTC)
JUDGED = {
    "verdict": "ok",
    "message": "no drift",
    "checked_at": NOW.isoformat(),
    "judged_at": NOW.isoformat(),
    "source": "batch run nightly",
    "rows": 300,
    "model_name": "churn",
    "model_version": "1",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(PROJECT).model_copy(update={"root": tmp_path})


def check(settings: Settings, kind: Source, days: int, version: str = "2") -> None:
    champion = ModelVersion("churn", version, "run", (), {})
    at = NOW + timedelta(days=days)
    write_nothing_compared(
        settings, NothingCompared("no new rows", kind, "batch run", champion, 100, at, "1w")
    )


def state_of(settings: Settings, kind: str) -> Any:
    return read_json(history_file(settings.reports, kind))


def test_a_source_that_was_never_judged_says_since_when(settings: Settings) -> None:
    for day, version in ((1, "2"), (2, "2"), (9, "3")):
        check(settings, "batch", day, version)

    state = state_of(settings, "batch")
    assert (state["model_version"], state["judged_at"]) == ("3", None)
    assert state["unjudged_since"] == "2026-12-01T00:00:00+00:00"


def test_a_promotion_does_not_forget_when_the_source_was_judged(settings: Settings) -> None:
    write_report(history_file(settings.reports, "batch"), JUDGED)

    check(settings, "batch", 1)

    state = state_of(settings, "batch")
    assert (state["model_version"], state["verdict"]) == ("2", "insufficient")
    assert (state["judged_at"], state["unjudged_since"]) == (JUDGED["judged_at"], None)


def test_a_check_where_nothing_was_scored_is_one_of_both_sources(settings: Settings) -> None:
    write_report(history_file(settings.reports, "batch"), JUDGED)

    check(settings, "newest", 3, "1")

    batch, service = (state_of(settings, kind) for kind in ("batch", "service"))
    assert (batch["verdict"], batch["judged_at"]) == ("ok", JUDGED["judged_at"])
    assert (service["kind"], service["verdict"]) == ("service", "insufficient")
    for state in (batch, service):
        assert state["nothing_compared"]["checked_at"] == "2026-12-03T00:00:00+00:00"
    assert not history_file(settings.reports, "newest").exists()


def test_too_few_rows_are_no_verdict() -> None:
    first = judged_marks({}, "1", is_judged=False)
    assert first == {"judged_at": None, "unjudged_since": "1"}
    assert judged_marks(first, "2", is_judged=False) == first
    judged = judged_marks(first, "3", is_judged=True)
    assert judged == {"judged_at": "3", "unjudged_since": None}
    assert judged_marks(judged, "4", is_judged=False) == judged
