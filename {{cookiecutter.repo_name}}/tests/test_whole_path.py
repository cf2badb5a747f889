"""From the source to a drift check, through the same commands as in earnest."""

import json
import re
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.project import project

from conftest import ROOT, Trained


def test_the_model_beats_the_baseline(trained: Trained) -> None:
    training = trained.training
    low, _ = training["interval"]
    assert low > training["baseline"]
    others = json.loads((trained.place.root / "reports" / "evaluation.json").read_text())["others"]
    is_main = training["metric"] == "roc_auc"
    assert (training["value"] if is_main else others["roc_auc"][0]) > 0.75


def test_the_customer_to_call_first_is_the_one_most_likely_to_leave(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(trained.place.root))
    scored = project.frame("predictions")
    newest = scored[scored["run_id"] == scored.sort_values("predicted_at")["run_id"].iloc[-1]]
    first = newest.loc[newest["call_rank"].idxmin()]
    assert (first["call_rank"], first["score"]) == (1, newest["score"].max())
    csv = trained.place.root / "data" / "sample" / "customers.csv"
    assert trained.place.run("batch-predict", "--data", str(csv))["rows"] >= trained.batch["rows"]


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
