"""`POST /invocations`: MLflow's scoring protocol, for clients of an MLflow model server.

The forms are those of `mlflow models serve`: `dataframe_split`, `dataframe_records`, `inputs` and
`instances`. As there, columns that the model does not know are left out, so an id may stay in. The
entity's column is read where the model looks up what is known of it.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import DOCUMENTED_CREDENTIALS, PredictionRoute
from goldpath.serving.schemas import RequestModels, key_model
from goldpath.serving.scorer import Scorer, Wish, wish_of

FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")
Cell = str | int | float | bool | None
Item = TypeVar("Item")
MOST_ITEMS = 100_000
# Validation stops at the first wrong item: describing a million would hold up the service.
Many = Annotated[list[Item], Field(fail_fast=True, max_length=MOST_ITEMS)]


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
    """What MLflow's server answers: labels, or values; and what else a prediction shows."""

    predictions: list[str] | list[float]
    decisions: list[str] = Field([], description="Left out where the version has no threshold.")
    threshold: float = Field(0.0, description="Left out where the version has none.")
    thresholds: list[float | None] = Field(
        [],
        description="Of several classes: that of each decided class; of two where groups have "
        "their own: that of each row. Left out where the version has neither.",
    )
    lower: list[float] = Field([], description="Left out where the version has no intervals.")
    upper: list[float] = Field([], description="Left out where the version has no intervals.")
    interval: float = Field(0.0, description="Left out where the version has no intervals.")


def invocations(models: RequestModels, maximum_rows: int, scorer: Scorer) -> APIRouter:
    """The route.

    Args:
        models: What a row is.
        maximum_rows: How many rows a request may hold.
        scorer: Scores rows that were checked.
    """
    router = APIRouter(
        route_class=PredictionRoute,
        dependencies=DOCUMENTED_CREDENTIALS,
        tags=["predictions"],
        responses=problem_answers(400, 401, 403, 408, 413, 415, 422, 429, 503),
    )
    rows_of: TypeAdapter[list[BaseModel]] = TypeAdapter(Many[models.row])  # type: ignore[name-defined]
    key = key_model(models.entity)
    keys_of: TypeAdapter[list[BaseModel]] = TypeAdapter(Many[key])  # type: ignore[valid-type]
    own: dict[str, Any] = {
        field.name: (list[field.kind], Field(description=field.described))  # type: ignore[name-defined]
        for field in scorer.fields
    }
    answered = create_model("InvocationAnswer", __base__=InvocationAnswer, **own)
    known = {field.alias or name for name, field in models.row.model_fields.items()}

    @router.post("/invocations", response_model=answered, response_model_exclude_unset=True)
    def invoke(body: Invocation, wish: Annotated[Wish, Depends(wish_of)]) -> InvocationAnswer:
        """Score rows as `mlflow models serve` does.

        A model that takes what is known of an entity reads its key from the entity's column.
        """
        form, rows = _rows(body)
        if not 1 <= len(rows) <= maximum_rows:
            raise ProblemError(
                422,
                f"{form} holds {len(rows)} rows",
                f"send 1 to {maximum_rows} rows in a request",
            )
        names_entities = models.keyed is not None and any(models.entity in row for row in rows)
        try:
            checked = rows_of.validate_python(
                [{name: value for name, value in each.items() if name in known} for each in rows]
            )
            entities = None
            if names_entities and scorer.looks_up(wish):
                entities = [vars(key)["entity_key"] for key in keys_of.validate_python(rows)]
        except ValidationError as error:
            errors = [{**each, "loc": ("body", form, *each["loc"])} for each in error.errors()]
            raise RequestValidationError(errors) from error
        answer = scorer.score([each.model_dump(by_alias=True) for each in checked], wish, entities)
        values: Any = [item.prediction for item in answer.predictions]
        found = answer.predictions
        shown: dict[str, Any] = {}
        if "threshold" in found[0].model_fields_set:
            shown = {"decisions": [item.decision for item in found]}
            lines = [item.threshold for item in found]
            # Lines that differ are never shown as one, though another version may serve by now.
            is_one = len(found[0].probabilities or ()) == 2 and len({*lines}) == 1
            if is_one and not scorer.has_groups(wish):
                shown["threshold"] = lines[0]
            else:
                shown["thresholds"] = lines
        if "interval" in found[0].model_fields_set:
            shown = {
                "lower": [item.lower for item in found],
                "upper": [item.upper for item in found],
                "interval": found[0].interval,
            }
        shown |= {name: [getattr(item, name) for item in found] for name in own}
        return answered(predictions=values, **shown)

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
