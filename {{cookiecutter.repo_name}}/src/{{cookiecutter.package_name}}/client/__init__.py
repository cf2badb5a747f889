"""A typed client of this project's service.

It needs nothing but Python's standard library; docs/client.md shows how it is used.
"""

from .answers import (
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
from .service import Client
from .transport import Retries

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
