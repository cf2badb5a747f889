"""`POST /explain`: what each feature adds to a prediction.

An explanation scores thousands of rows, so it is made in a thread of its own, one after another,
and only so many requests may wait for it; predictions go on meanwhile. Rows are read, and hooks
called, where those of predictions are: in a thread of the request's, before it waits.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from goldpath.judging.explanation import Explainer, Explanation
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import DOCUMENTED_CREDENTIALS, PredictionRoute
from goldpath.serving.predictor import USUAL_SIZE, Champion, NoModelError, Predictor
from goldpath.serving.schemas import RequestModels
from goldpath.serving.scorer import Wish, wish_of_any
from goldpath.serving.stored_features import AskedRows
from goldpath.serving.window_values import WindowValues

WishOfRequest = Annotated[Wish, Depends(wish_of_any)]

MOST_ROWS = 10
MOST_WAITING = 4


class FeatureContribution(BaseModel):
    """What one feature adds."""

    feature: str
    value: str | bool | int | float | None = Field(
        description="The value in the row; null also where it was looked up and is personal."
    )
    contribution: float
    standard_error: float = Field(description="Of the contribution, which is estimated.")


class ExplainedRow(BaseModel):
    """One row's prediction, taken apart."""

    prediction: str | float = Field(description="The class, or the value of a regression.")
    value: float = Field(description="The predicted class's probability, or the value.")
    baseline: float = Field(description="The same, on average over rows of the training data.")
    contributions: list[FeatureContribution] = Field(
        description="Largest first; they add up to `value` less `baseline`."
    )


class ExplainAnswer(ExplainedRow):
    """The answer of `POST /explain`."""

    model_name: str
    model_version: str


class ExplainBatchAnswer(BaseModel):
    """The answer of `POST /explain/batch`: one item an instance, in their order."""

    model_name: str
    model_version: str
    explanations: list[ExplainedRow]


@dataclass(frozen=True)
class ReadyRows:
    """What an explanation is made of.

    Attributes:
        champion: The model.
        rows: Complete rows.
        hidden: Of each row the features whose values are not shown.
    """

    champion: Champion
    rows: Sequence[Mapping[str, Any]]
    hidden: Sequence[AbstractSet[str]]


class Explanations:
    """Explains with the model that serves.

    Args:
        predictor: Holds the model.
        asked: Reads the rows of a body.
        windows: Completes them with what is known of their entities.
        before: Calls the project's hooks before an answer.
    """

    def __init__(
        self,
        predictor: Predictor,
        asked: AskedRows,
        windows: WindowValues,
        before: Callable[[Sequence[Mapping[str, Any]], Wish, Sequence[str] | None], None],
    ) -> None:
        self._before = before
        self._predictor = predictor
        self._asked = asked
        self._windows = windows
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._waiting = 0
        self._explainer: tuple[Champion, Explainer] | None = None

    async def of(self, body: BaseModel, wish: Wish) -> tuple[Champion, list[ExplainedRow]]:
        """The model, and one explanation a row.

        Raises:
            ProblemError: 409 where the model has no background rows, 422 where it cannot score
                the values, 429 where too many wait, 503 without a model; by key also those of
                `AskedRows` and `WindowValues`; and what a hook before the answer refuses with.
        """
        try:
            champion = self._predictor.current()
        except NoModelError as error:
            raise ProblemError(503, error.message, error.fix, {"Retry-After": "5"}) from error
        if not getattr(champion.model, "background", ()):
            raise ProblemError(
                409,
                f"version {champion.version.version} was registered without background rows",
                "train and promote it again: make train-local",
            )
        self._require_room()
        ready = await run_in_threadpool(self._ready, champion, body, wish)
        self._require_room()  # others came while a hook took its time
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return champion, await loop.run_in_executor(self._thread, self._explain, ready)
        except (ArithmeticError, ValueError) as error:
            raise ProblemError(422, "the model cannot score these values", USUAL_SIZE) from error
        finally:
            self._waiting -= 1

    def _require_room(self) -> None:
        """Refuse where too many wait.

        Raises:
            ProblemError: 429.
        """
        if self._waiting >= MOST_WAITING:
            raise ProblemError(
                429,
                f"{MOST_WAITING} other requests wait for an explanation",
                "ask again in a second",
                {"Retry-After": "1"},
            )

    def _ready(self, champion: Champion, body: BaseModel, wish: Wish) -> ReadyRows:
        """The rows of a request that no hook refuses."""
        contract = champion.model.contract
        asked = self._asked.of(body, looks_up=lambda: bool(contract.window_features))
        self._before(asked.rows, wish, asked.entities)
        rows = self._windows.complete(asked.rows, contract, asked.entities, datetime.now(UTC))
        hidden = self._windows.hidden(contract)
        return ReadyRows(champion, rows, [hidden - sent for sent in asked.sent])

    def _explain(self, ready: ReadyRows) -> list[ExplainedRow]:
        known = self._explainer
        if known is None or known[0].model is not ready.champion.model:
            model: Any = ready.champion.model
            known = self._explainer = (ready.champion, Explainer(model, model.background))
        found = [known[1].explain(row) for row in ready.rows]
        for each in found:
            if not all(isfinite(part.contribution) for part in each.contributions):
                raise ValueError("not a finite number")
        return [_row(each, hidden) for each, hidden in zip(found, ready.hidden, strict=True)]


def explanations(models: RequestModels, explained: Explanations) -> APIRouter:
    """The routes.

    Args:
        models: What a request may be.
        explained: Makes the explanations.
    """
    single = models.single("ExplainRequest")
    batch = models.batch("ExplainBatchRequest", MOST_ROWS)
    of: Callable[[BaseModel, Wish], Any] = explained.of
    router = APIRouter(
        route_class=PredictionRoute,
        dependencies=DOCUMENTED_CREDENTIALS,
        tags=["predictions"],
        responses=problem_answers(
            *(400, 401, 403, 408, 409, 413, 415, 422, 429, 503), *((404,) if models.keyed else ())
        ),
    )

    @router.post("/explain")
    async def explain(body: single, wish: WishOfRequest) -> ExplainAnswer:  # type: ignore[valid-type]
        """What each feature adds to the prediction of one row, sent or by its entity's key."""
        champion, found = await of(body, wish)
        return ExplainAnswer(
            model_name=champion.version.name,
            model_version=champion.version.version,
            **found[0].model_dump(),
        )

    @router.post("/explain/batch")
    async def explain_batch(
        body: batch,  # type: ignore[valid-type]
        wish: WishOfRequest,
    ) -> ExplainBatchAnswer:
        """What each feature adds, for a few rows."""
        champion, found = await of(body, wish)
        return ExplainBatchAnswer(
            model_name=champion.version.name,
            model_version=champion.version.version,
            explanations=found,
        )

    return router


def _row(found: Explanation, hidden: AbstractSet[str]) -> ExplainedRow:
    return ExplainedRow(
        prediction=found.prediction,
        value=found.value,
        baseline=found.baseline,
        contributions=[
            FeatureContribution(
                feature=each.feature,
                value=None if each.feature in hidden else each.value,
                contribution=each.contribution,
                standard_error=each.standard_error,
            )
            for each in found.contributions
        ],
    )
