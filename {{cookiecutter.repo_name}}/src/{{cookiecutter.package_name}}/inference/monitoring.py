"""Metrics of one's own: `GET /metrics` shows them beside the engine's, over all workers."""

from prometheus_client import Counter

OFFERS = Counter("churn_offers", "Answers of POST /retention-offer, by what they offer.", ["offer"])
