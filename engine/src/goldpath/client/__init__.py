"""A typed client of this project's service.

It needs nothing but Python's standard library; docs/client.md shows how it is used.
"""

from goldpath.client.answers import (
    Contribution,
    Explanation,
    FieldError,
    NotAllowedError,
    Prediction,
    Problem,
    RefusedError,
    ServiceError,
    TooManyRequestsError,
    UnavailableError,
)
from goldpath.client.service import Client
from goldpath.client.transport import Retries

__all__ = [
    "Client",
    "Contribution",
    "Explanation",
    "FieldError",
    "NotAllowedError",
    "Prediction",
    "Problem",
    "RefusedError",
    "Retries",
    "ServiceError",
    "TooManyRequestsError",
    "UnavailableError",
]
