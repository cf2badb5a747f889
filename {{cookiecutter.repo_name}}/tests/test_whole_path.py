"""From the source to a drift check, through the same commands as in earnest."""

import re
from typing import Any

import pytest

from conftest import ROOT, Trained


def test_the_model_beats_the_baseline(trained: Trained) -> None:
    training = trained.training
    low, _ = training["interval"]
    assert low > training["baseline"]
    assert training["value"] > 0.75


def test_the_calls_are_ranked(trained: Trained) -> None:
    out = trained.place.root / "calls.parquet"
    gold = trained.place.root / "data" / "sample" / "customers.csv"
    again = trained.place.run("batch-predict", "--data", str(gold))
    assert again["rows"] >= trained.batch["rows"]
    assert not out.exists()


def test_shifted_customers_are_drift_and_what_ages_is_not_compared(trained: Trained) -> None:
    place = trained.place
    shifted = "data/sample/shifted.csv"
    place.run("sample", "--drift", "monthly_charges=1.5", "--drift", "tenure_months=1.5",
              "--rows", "1000", "--output", shifted)  # fmt: skip
    found = place.run("drift-check", "--data", shifted, "--no-html", expect=1)
    assert found["verdict"] == "drift"
    assert "monthly_charges" in found["drifted_columns"]
    assert not {"tenure_months", "charge_rate"} & set(found["drifted_columns"])


def test_the_lines_for_notebooks_run(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "project.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"## In a notebook.*?```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.setenv("MLOPS_ROOT", str(trained.place.root))
    found: dict[str, Any] = {}
    exec(lines, found)  # noqa: S102
    assert len(found["predicted"]) == trained.batch["rows"]
