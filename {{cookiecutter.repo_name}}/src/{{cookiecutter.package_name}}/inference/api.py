"""Routes of one's own: FastAPI, behind the same keys and limits as `/predict`."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from goldpath import predict
from pydantic import BaseModel

from .monitoring import OFFERS

router = APIRouter(tags=["retention"])

CALL_FROM = 0.6
MAIL_FROM = 0.3


class Customer(BaseModel):
    """A customer, with the features that `GET /model` names."""

    features: dict[str, Any]
    customer_id: str | None = None  # whom window features are looked up of, where there are some


class Offer(BaseModel):
    """What to do about a customer, and how likely they are to leave."""

    offer: Literal["call", "mail", "none"]
    churn_probability: float
    prediction_id: str


@router.post("/retention-offer")
def retention_offer(customer: Customer, request: Request) -> Offer:
    """Call those who are likely to leave, write to those who might, leave the others alone."""
    answer = predict(request, customer.features, customer.customer_id)
    probability = (answer.probabilities or {}).get("yes", 0.0)
    offer = choose_offer(probability)
    OFFERS.labels(offer).inc()
    return Offer(
        offer=offer, churn_probability=probability, prediction_id=str(answer.prediction_id)
    )


def choose_offer(probability: float) -> Literal["call", "mail", "none"]:
    """The offer for a probability of leaving."""
    if probability >= CALL_FROM:
        return "call"
    return "mail" if probability >= MAIL_FROM else "none"
