"""`POST /explain`: what each feature adds to a prediction.

An explanation scores thousands of rows, so it is made in a thread of its own, one after another,
and only so many requests may wait for it; predictions go on meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import isfinite
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, create_model

from goldpath.contract import Contract
from goldpath.judging.explanation import Explainer, Explanation
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import DOCUMENTED_CREDENTIALS, PredictionRoute
from goldpath.serving.predictor import USUAL_SIZE, Champion, NoModelError, Predictor
from goldpath.serving.schemas import example_features, feature_rows

MOST_ROWS = 10
MOST_WAITING = 4


class FeatureContribution(BaseModel):
    """What one feature adds."""

    feature: str
    value: str | bool | int | float | None = Field(description="The value in the row.")
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


class Explanations:
    """Explains with the model that serves.

    Args:
        predictor: Holds the model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._waiting = 0
        self._explainer: tuple[Champion, Explainer] | None = None

    async def of(self, rows: Sequence[dict[str, Any]]) -> tuple[Champion, list[Explanation]]:
        """The model, and one explanation a row.

        Raises:
            ProblemError: 409 where the model has no background rows, 422 where it cannot score
                the values, 429 where too many wait, 503 without a model.
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
        if windows := champion.model.contract.window_features:
            raise ProblemError(
                409,
                f"version {champion.version.version} takes what is known of an entity "
                f"({windows[0].name}), which explanations do not look up yet",
                "explain rows of gold: the report of the training has the importances",
            )
        if self._waiting >= MOST_WAITING:
            raise ProblemError(
                429,
                f"{MOST_WAITING} other requests wait for an explanation",
                "ask again in a second",
                {"Retry-After": "1"},
            )
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return champion, await loop.run_in_executor(self._thread, self._explain, champion, rows)
        except (ArithmeticError, ValueError) as error:
            raise ProblemError(422, "the model cannot score these values", USUAL_SIZE) from error
        finally:
            self._waiting -= 1

    def _explain(self, champion: Champion, rows: Sequence[dict[str, Any]]) -> list[Explanation]:
        known = self._explainer
        if known is None or known[0].model is not champion.model:
            model: Any = champion.model
            known = self._explainer = (champion, Explainer(model, model.background))
        found = [known[1].explain(row) for row in rows]
        for each in found:
            if not all(isfinite(part.contribution) for part in each.contributions):
                raise ValueError("not a finite number")
        return found


def explanations(row: type[BaseModel], contract: Contract, predictor: Predictor) -> APIRouter:
    """The routes.

    Args:
        row: The request model of one row.
        contract: For the documentation's examples.
        predictor: Holds the model that serves.
    """
    example = example_features(contract)
    single = _request("ExplainRequest", {"features": example}, features=(row, ...))
    several = Annotated[list[row], Field(min_length=1, max_length=MOST_ROWS, fail_fast=True)]  # type: ignore[valid-type]
    batch = _request("ExplainBatchRequest", {"instances": [example]}, instances=(several, ...))
    of: Callable[[Sequence[dict[str, Any]]], Any] = Explanations(predictor).of
    router = APIRouter(
        route_class=PredictionRoute,
        dependencies=DOCUMENTED_CREDENTIALS,
        tags=["predictions"],
        responses=problem_answers(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
    )

    @router.post("/explain")
    async def explain(body: single) -> ExplainAnswer:  # type: ignore[valid-type]
        """What each feature adds to the prediction of one row."""
        champion, found = await of(feature_rows(body))
        return ExplainAnswer(
            model_name=champion.version.name,
            model_version=champion.version.version,
            **_row(found[0]).model_dump(),
        )

    @router.post("/explain/batch")
    async def explain_batch(body: batch) -> ExplainBatchAnswer:  # type: ignore[valid-type]
        """What each feature adds, for a few rows."""
        champion, found = await of(feature_rows(body))
        return ExplainBatchAnswer(
            model_name=champion.version.name,
            model_version=champion.version.version,
            explanations=[_row(each) for each in found],
        )

    return router


def _request(name: str, example: dict[str, Any], **fields: Any) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})
    made: type[BaseModel] = create_model(name, __config__=config, **fields)
    return made


def _row(found: Explanation) -> ExplainedRow:
    return ExplainedRow(
        prediction=found.prediction,
        value=found.value,
        baseline=found.baseline,
        contributions=[
            FeatureContribution(
                feature=each.feature,
                value=each.value,
                contribution=each.contribution,
                standard_error=each.standard_error,
            )
            for each in found.contributions
        ],
    )
