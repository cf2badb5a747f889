"""What a promotion that was refused leaves behind for scripts: each check's outcome by name."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from goldpath.contract import load_contract
from goldpath.errors import CheckFailedError
from goldpath.jobs.promotion import promote as promotion
from goldpath.judging.validation_report import (
    ValidationReport,
    ValidationResult,
    ValidationStatus,
)
from goldpath.model_version import ModelVersion
from goldpath.registry.alias_moves import Position
from goldpath.settings import Settings


def test_a_refusal_names_each_outcome_by_the_first_60_characters_of_its_check(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["size", "x" * 60, "y" * 59 + "zz"]
    statuses = [ValidationStatus.PASSED, ValidationStatus.FAILED, ValidationStatus.WARNING]
    results = tuple(map(ValidationResult, names, statuses, ["as it was found"] * 3))
    report = ValidationReport("churn", "2", 100, datetime(2026, 1, 1, tzinfo=UTC), results)
    tags: list[dict[str, Any]] = []
    manager = SimpleNamespace(
        model_name="churn",
        store=None,
        newest_version=lambda: ModelVersion("churn", "2", "run", (), {}),
        tag_version=lambda _, values: tags.append(values),
    )
    monkeypatch.setattr(promotion, "MLflowManager", lambda *_: manager)
    monkeypatch.setattr(promotion, "position", lambda *_: Position("churn", "champion", "1"))
    monkeypatch.setattr(promotion, "run_gate", lambda *_: report)

    with pytest.raises(CheckFailedError, match="the gate refused version 2 of churn: xxx"):
        promotion.promote(project, load_contract(project.root))

    written = json.loads((project.reports / "promotion.json").read_text("utf-8"))
    assert written["outcomes"] == {
        "size": "passed",
        "x" * 60: "failed",
        "y" * 59 + "z": "warning",
    }
    assert [*written["checks"]] == names
    assert (written["promoted"], written["previous_champion"]) == (False, "1")
    assert [each["gate"] for each in tags] == ["refused"]
