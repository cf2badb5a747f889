"""What may stand in the predictions table beside its own columns: a row's, and answer fields."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from goldpath.contract import RESERVED, Contract, ContractError
from goldpath.lake.tables import TRAINING_ROW
from goldpath.learning.decision.fields import fields_of
from goldpath.learning.predictions import Predictions
from goldpath.serving.answers.own_fields import AnswerField, Prediction, row_of

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 10_000
"""Of the table's rows, as Python objects."""


def require_free_names(contract: Contract) -> None:
    """Insist that no column of a row clashes with one that the predictions table adds.

    DuckDB and Athena take Score and score for one column: it would come back as `score_1`.

    Args:
        contract: What a row is.

    Raises:
        ContractError: If one does; names it.
    """
    own = {*RESERVED, TRAINING_ROW}
    for name in filter(None, [contract.entity, *contract.feature_names]):
        if name.lower() in own:
            raise ContractError(
                f"the column {name} clashes with {name.lower()}, which the predictions table adds "
                "(names that differ only in case count as the same)",
                "rename it in the source and in config/project.yaml, and train again",
            )


def answer_columns(
    fields: Sequence[AnswerField],
    rows: "pa.Table",
    predictions: Predictions,
    contract: Contract,
    version: str,
) -> "Iterator[tuple[str, pa.Array]]":
    """Each field's column.

    Args:
        fields: The project's.
        rows: What was scored.
        predictions: What the model says of the rows.
        contract: The model's; a field sees what a request sends, and the window columns.
        version: The model's.

    Raises:
        AnswerFieldError: If a field has no value for a row.
    """
    import pyarrow as pa

    if not fields:
        return
    seen = rows.select([each.name for each in contract.recorded.features])
    classes, beside = contract.target.classes, fields_of(contract)
    values: list[list[object]] = [[] for _ in fields]
    for first in range(0, rows.num_rows, ROWS_AT_ONCE):
        for place, each in enumerate(seen.slice(first, ROWS_AT_ONCE).to_pylist(), first):
            by_class = {}
            if predictions.probabilities is not None:
                found = predictions.probabilities[place].tolist()
                by_class = dict(zip(classes, found, strict=True))
            value, score = predictions.values[place], predictions.scores[place]
            line = predictions.lines[place] if predictions.lines else None
            prediction = Prediction(
                value,
                score,
                by_class,
                model_version=version,
                **dict(zip(beside.names, beside.of_row(value, score, line), strict=True)),
            )
            row = row_of(each)
            for field, column in zip(fields, values, strict=True):
                column.append(field.value(row, prediction))
    kinds = {
        "string": pa.string(),
        "boolean": pa.bool_(),
        "integer": pa.int64(),
        "number": pa.float64(),
    }
    for field, column in zip(fields, values, strict=True):
        kind = kinds.get(_json_type(field))
        if kind is None:  # a list or an object is kept as JSON
            yield field.name, pa.array([json.dumps(value) for value in column], pa.string())
        else:
            yield field.name, pa.array(column, kind)


def _json_type(field: AnswerField) -> str:
    """The one type that the field has beside null; empty where there are several."""
    either = field.schema.get("anyOf", [field.schema])
    names = {str(each.get("type", "")) for each in either} - {"null"}
    return names.pop() if len(names) == 1 else ""
