"""What good predictions are worth, what keeps a candidate back, and what MLflow shows."""

import numpy as np
import pandas as pd
import pytest
from goldpath import Contract, LoadedModel, ValidationStatus

from {{ cookiecutter.package_name }}.model.gates import (
    NoRegionLeftBehind,
)
from {{ cookiecutter.package_name }}.model.metrics import (
    CALL_COST,
    MONTHS_KEPT,
    saved_revenue,
)
from {{ cookiecutter.package_name }}.model.mlflow_manager import (
    description,
)

from conftest import Trained


def test_a_call_costs_and_a_kept_customer_pays() -> None:
    rows = pd.DataFrame({"monthly_charges": [50.0, 100.0]})
    truth = np.array(["yes", "no"])
    calls = np.array(["yes", "yes"])
    assert saved_revenue.function(truth, np.array(["no", "no"]), rows) == 0
    expected = (MONTHS_KEPT * 50 - 2 * CALL_COST) / 2
    assert saved_revenue.function(truth, calls, rows) == pytest.approx(expected)


class ByRegion:
    """A classifier that knows nothing of one region."""

    classes_ = np.array(["no", "yes"])

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Right for every row, but those of the north."""
        right = frame["support_tickets"].to_numpy(dtype="float64") / 10
        positive = np.where(frame["region"] == "north", 0.5, right)
        return np.column_stack([1 - positive, positive])


@pytest.mark.parametrize(
    ("regions", "status"),
    [
        (["south", "east"], ValidationStatus.PASSED),
        (["north", "south"], ValidationStatus.FAILED),
    ],
)
def test_no_region_is_left_behind(
    contract: Contract, regions: list[str], status: ValidationStatus
) -> None:
    count = 400
    tickets = np.tile([1, 9, 2, 8], count // 4)
    rows = pd.DataFrame({name: [None] * count for name in contract.feature_names})
    rows = rows.assign(region=np.repeat(regions, count // 2), support_tickets=tickets)
    model = LoadedModel(ByRegion(), contract)
    target = np.where(tickets > 5, "yes", "no")
    assert NoRegionLeftBehind().validate(model, rows, target).status is status


def test_the_gate_asks_for_the_regions_and_the_run_has_the_metrics(trained: Trained) -> None:
    promotion = trained.training["promotion"]
    assert promotion["promoted"]
    assert "no region left behind" in promotion["checks"]
    manager = trained.place.run("registry", "show", trained.training["model_version"])
    assert str(manager).count("churn_rate_two-year") or "metrics" in manager


def test_a_description_names_family_and_metric() -> None:
    result = {"family": "linear", "metric": "roc_auc", "value": 0.8, "interval": (0.7, 0.9)}
    text = description({**result, "n_train": 80, "n_test": 20, "gold_snapshot": 1})
    assert text.startswith("linear: roc_auc 0.8000 (0.7000 to 0.9000)\n")
