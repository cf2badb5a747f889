"""`POST /invocations`: MLflow's scoring protocol, for clients of an MLflow model server.

The forms are those of `mlflow models serve`: `dataframe_split`, `dataframe_records`, `inputs` and
`instances`. As there, columns that the model does not know are left out, so an id may stay in.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import DOCUMENTED_CREDENTIALS, PredictionRoute
from goldpath.serving.schemas import BatchAnswer
from goldpath.serving.scorer import Wish, wish_of

FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")
Cell = str | int | float | bool | None
Item = TypeVar("Item")
MOST_ITEMS = 100_000
# Validation stops at the first wrong item: describing a million would hold up the service.
Many = Annotated[list[Item], Field(fail_fast=True, max_length=MOST_ITEMS)]
Score = Callable[[list[dict[str, Any]], Wish], BatchAnswer]


class SplitTable(BaseModel):
    """pandas' `to_dict(orient="split")`; the index is not looked at."""

    columns: Many[str]
    data: Many[Many[Cell]]
    index: list[Any] | None = None


class Invocation(BaseModel):
    """A body of MLflow's protocol: exactly one of the four forms."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"dataframe_split": {"columns": ["x", "y"], "data": [[1.0, "a"]]}}]
        },
    )

    dataframe_split: SplitTable | None = None
    dataframe_records: Many[dict[str, Cell]] | None = None
    inputs: dict[str, Many[Cell]] | Many[dict[str, Cell]] | None = Field(
        None, description="Columns by name, or a list of rows."
    )
    instances: Many[dict[str, Cell]] | None = None


class InvocationAnswer(BaseModel):
    """What MLflow's server answers: labels, or values."""

    predictions: list[str] | list[float]


def invocations(row: type[BaseModel], maximum_rows: int, score: Score) -> APIRouter:
    """The route.

    Args:
        row: The request model of one row.
        maximum_rows: How many rows a request may hold.
        score: Scores rows that were checked.
    """
    router = APIRouter(
        route_class=PredictionRoute,
        dependencies=DOCUMENTED_CREDENTIALS,
        tags=["predictions"],
        responses=problem_answers(400, 401, 403, 408, 413, 415, 422, 429, 503),
    )
    rows_of: TypeAdapter[list[BaseModel]] = TypeAdapter(Many[row])  # type: ignore[valid-type]
    known = {field.alias or name for name, field in row.model_fields.items()}

    @router.post("/invocations")
    def invoke(body: Invocation, wish: Annotated[Wish, Depends(wish_of)]) -> InvocationAnswer:
        """Score rows as `mlflow models serve` does."""
        form, rows = _rows(body)
        if not 1 <= len(rows) <= maximum_rows:
            raise ProblemError(
                422,
                f"{form} holds {len(rows)} rows",
                f"send 1 to {maximum_rows} rows in a request",
            )
        try:
            checked = rows_of.validate_python(
                [{name: value for name, value in each.items() if name in known} for each in rows]
            )
        except ValidationError as error:
            errors = [{**each, "loc": ("body", form, *each["loc"])} for each in error.errors()]
            raise RequestValidationError(errors) from error
        answer = score([each.model_dump(by_alias=True) for each in checked], wish)
        values: Any = [item.prediction for item in answer.predictions]
        return InvocationAnswer(predictions=values)

    return router


def _rows(body: Invocation) -> tuple[str, Sequence[Mapping[str, Cell]]]:
    """The form that was sent, and its rows."""
    sent = [form for form in FORMS if getattr(body, form) is not None]
    if len(sent) != 1:
        named = " and ".join(sent) if sent else "none of them"
        raise ProblemError(422, f"the body holds {named}", f"send one of {', '.join(FORMS)}")
    form = sent[0]
    content = getattr(body, form)
    if isinstance(content, SplitTable):
        columns = content.columns
        if len(set(columns)) < len(columns):
            raise ProblemError(422, "a column's name appears twice", "name each column once")
        for place, values in enumerate(content.data):
            if len(values) != len(columns):
                raise ProblemError(
                    422,
                    f"row {place} of dataframe_split has {len(values)} values",
                    f"send {len(columns)}, one a column",
                )
        return form, [dict(zip(columns, values, strict=True)) for values in content.data]
    if isinstance(content, dict):
        lengths = {len(values) for values in content.values()}
        if len(lengths) > 1:
            raise ProblemError(
                422, "the columns of inputs differ in length", "send one value a row in each"
            )
        size = lengths.pop() if lengths else 0
        return form, [
            {name: values[place] for name, values in content.items()} for place in range(size)
        ]
    rows: Sequence[Mapping[str, Cell]] = content
    return form, rows
