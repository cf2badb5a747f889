"""`POST /feedback`: the labels that turn out to be true, by the id of the prediction.

A label is on disk before it is confirmed. It often comes weeks after the prediction, when the
prediction is in the lake already, or was made by another machine; so any well-formed id is taken,
and `logs performance` says how many labels found their prediction.
"""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
)

from goldpath.contract import Contract
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import PredictionRoute, for_role
from goldpath.serving.log.segments import SegmentWriter
from goldpath.serving.prediction_log import rotation_of
from goldpath.settings import Settings

IDENTITY = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
EXAMPLE_ID = "0b9e6a54-7f0e-4d8e-9c4c-0a6b1d2c3e4f"
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
TOLERATED = timedelta(days=1)


class FeedbackAnswer(BaseModel):
    """The answer of `POST /feedback`: how many labels are stored."""

    accepted: int


class FeedbackLog:
    """Labels, on disk before `write` returns.

    Args:
        settings: Where the segments go, and when one ends.
    """

    def __init__(self, settings: Settings) -> None:
        folder = settings.root / settings.prediction_log.feedback
        self._segments = SegmentWriter(folder, rotation_of(settings))

    def write(self, labels: Sequence[dict[str, Any]]) -> None:
        """Store labels: `prediction_id`, `label` and `at`, when it was known.

        Raises:
            OSError: If they are not on disk.
        """
        received = datetime.now(UTC).isoformat()
        lines = "".join(
            json.dumps(
                {
                    "feedback_id": str(uuid.uuid4()),
                    "prediction_id": str(item["prediction_id"]).lower(),
                    "label": item["label"],
                    "at": item["at"].astimezone(UTC).isoformat() if item["at"] else received,
                    "received_at": received,
                }
            )
            + "\n"
            for item in labels
        )
        self._segments.append(lines.encode("ascii"))
        self._segments.sync()

    def close(self) -> None:
        """Seal the segment."""
        self._segments.close()


def feedback_router(
    contract: Contract, maximum: int, log: FeedbackLog, prefix: str = ""
) -> APIRouter:
    """`/feedback` and `/feedback/batch`; of a clustering both refuse.

    Args:
        contract: Says what a label may be.
        maximum: Most labels of one request.
        log: Stores them.
        prefix: Tells the models from those of another contract in the OpenAPI document.
    """
    if not contract.has_target:
        return _without_labels()
    single, batch = _requests(contract, maximum, prefix)
    router = APIRouter(
        # Whoever may ask for predictions may not say how they turned out: labels judge the model.
        route_class=for_role(PredictionRoute, "label"),
        tags=["feedback"],
        responses=problem_answers(400, 401, 403, 413, 415, 422, 503),
    )

    def store(labels: Sequence[BaseModel]) -> FeedbackAnswer:
        try:
            log.write([label.model_dump() for label in labels])
        except OSError as error:
            raise ProblemError(
                503,
                "the labels cannot be stored",
                "send them again later; make room on the service's disk",
                {"Retry-After": "30"},
            ) from error
        return FeedbackAnswer(accepted=len(labels))

    @router.post("/feedback", status_code=202)
    def feedback(body: single) -> FeedbackAnswer:  # type: ignore[valid-type]
        """Store the label that turned out to be true; of several for one id, the latest counts."""
        return store([body])

    @router.post("/feedback/batch", status_code=202)
    def feedback_batch(body: batch) -> FeedbackAnswer:  # type: ignore[valid-type]
        """Store several labels: all of them, or none."""
        return store(body.labels)  # type: ignore[attr-defined]

    return router


def _without_labels() -> APIRouter:
    """The same paths where no label can turn out to be true: they say so."""
    router = APIRouter(
        route_class=for_role(PredictionRoute, "label"),
        tags=["feedback"],
        responses=problem_answers(401, 403, 409),
    )

    @router.post("/feedback", status_code=409)
    @router.post("/feedback/batch", status_code=409)
    def feedback() -> None:
        """Refused: segments have no true labels."""
        raise ProblemError(
            409,
            "this model groups rows into segments (problem: clustering), and nobody can say which "
            "segment was the true one: a segmentation has no labels",
            "send none; whether rows still look as those of the training says: make drift-check",
        )

    return router


def _requests(
    contract: Contract, maximum: int, prefix: str
) -> tuple[type[BaseModel], type[BaseModel]]:
    classes = contract.target.classes
    label: Any = (
        Literal[classes] if classes else Annotated[float, Field(strict=True, allow_inf_nan=False)]
    )
    example = {"prediction_id": EXAMPLE_ID, "label": classes[0] if classes else 12.5}
    single = create_model(
        f"{prefix}Feedback",
        __config__=_strict(example),
        prediction_id=(Annotated[str, Field(strict=True, pattern=IDENTITY)], ...),
        label=(label, Field(description=f"The true `{contract.target.column}`.")),
        at=(
            Annotated[
                AwareDatetime | None, BeforeValidator(_only_text), AfterValidator(_is_plausible)
            ],
            Field(default=None, description="When it was known; now where not given."),
        ),
    )
    batch = create_model(
        f"{prefix}FeedbackBatch",
        __config__=_strict({"labels": [example]}),
        labels=(Annotated[list[single], Field(min_length=1, max_length=maximum)], ...),
    )
    return single, batch


def _strict(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


def _only_text(value: object) -> object:
    """A number would be taken for seconds, or for milliseconds, by its size."""
    if value is not None and not isinstance(value, str):
        raise ValueError("must be text: a date and time with its zone (ISO 8601)")
    return value


def _is_plausible(value: datetime | None) -> datetime | None:
    if value is not None and not EARLIEST <= value <= datetime.now(UTC) + TOLERATED:
        raise ValueError("must lie between the year 2000 and now")
    return value
