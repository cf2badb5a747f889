"""The service's own route: what it offers, to whom, and that it is counted."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from goldpath import create_app

from {{ cookiecutter.package_name }}.inference.api import (
    choose_offer,
)
from {{ cookiecutter.package_name }}.project import project

from conftest import Trained

CUSTOMER: dict[str, Any] = {
    "tenure_months": 3, "monthly_charges": 89.5, "usage_hours": 12.5, "support_tickets": 4,
    "late_payments": 2, "satisfaction": 3.5, "age": 41, "contract": "month-to-month",
    "payment_method": "card", "internet_service": "fiber", "region": "north",
    "paperless_billing": True,
}  # fmt: skip
# Window features are looked up, so that a request says whom it is about.
REQUEST: dict[str, Any] = {
    **({"customer_id": "C000001"} if project.window_features else {}),
    "features": CUSTOMER,
}


@pytest.fixture(scope="module")
def client(trained: Trained) -> Iterator[TestClient]:
    """The service over the champion of the small project."""
    with TestClient(create_app(trained.place.settings)) as client:
        yield client


def test_who_is_likely_to_leave_is_called() -> None:
    assert [choose_offer(p) for p in (0.0, 0.3, 0.59, 0.6, 1.0)] == [
        "none", "mail", "mail", "call", "call",
    ]  # fmt: skip


def test_an_offer_agrees_with_the_prediction_and_is_counted(client: TestClient) -> None:
    offered = client.post("/retention-offer", json=REQUEST)
    assert offered.status_code == 200, offered.text
    predicted = client.post("/predict", json=REQUEST).json()
    probability = predicted["probabilities"]["yes"]
    assert offered.json()["churn_probability"] == pytest.approx(probability)
    assert offered.json()["offer"] == choose_offer(probability)
    counted = f'churn_offers_total{{'{{'}}offer="{offered.json()["offer"]}"{{'}}'}} 1.0'
    assert counted in client.get("/metrics").text


def test_row_features_are_the_services_to_compute_and_not_sent(client: TestClient) -> None:
    described = client.get("/model").json()["features"]
    computed = {name for name, words in described.items() if words.startswith("computed by")}
    looked_up = {name for name, words in described.items() if words.startswith("looked up")}
    assert computed == {each.name for each in project.row_features}
    assert bool(looked_up) == bool(project.window_features)
    assert "charge_rate" in computed
    features = {**CUSTOMER, "charge_rate": 22.375}
    sent = client.post("/predict", json={**REQUEST, "features": features})
    assert sent.status_code == 422
    assert "charge_rate" in sent.text


def test_a_customer_that_the_contract_refuses_is_a_422(client: TestClient) -> None:
    wrong = {**CUSTOMER, "tenure_months": -1}
    refused = client.post("/retention-offer", json={**REQUEST, "features": wrong})
    assert refused.status_code == 422
    assert "tenure_months" in refused.text
