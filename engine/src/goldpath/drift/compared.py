"""The columns as a project wants them compared: `Model(compared=...)`."""

from collections.abc import Callable

import pyarrow as pa

from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.project import naming

PREDICTION = "prediction"

Compared = Callable[[pa.Table], pa.Table]


def compared_pair(
    reference: pa.Table, current: pa.Table, compared: Compared | None
) -> tuple[pa.Table, pa.Table]:
    """Both tables as the project wants them compared.

    Raises:
        ProjectDefinitionError: If the project's function fails, changes the number of rows, or
            gives other columns for the current rows than for the reference.
    """
    if compared is None:
        return reference, current
    before, now = (compared_rows(table, compared) for table in (reference, current))
    if set(before.column_names) != set(now.column_names):
        raise ProjectDefinitionError(
            f"{place_of(compared)} gives the columns {', '.join(before.column_names)} for the "
            f"reference and {', '.join(now.column_names)} for the current rows",
            "choose columns by their names, and not by the values that they hold",
        )
    return before, now


def compared_rows(rows: pa.Table, compared: Compared | None) -> pa.Table:
    """The rows as the project wants them compared; all of their columns where it does not say.

    The model's predictions are compared in any case.

    Raises:
        ProjectDefinitionError: If the project's function fails, or changes the number of rows.
    """
    if compared is None:
        return rows
    with naming(compared):
        seen = compared(rows)
    if not isinstance(seen, pa.Table) or seen.num_rows != rows.num_rows:
        raise ProjectDefinitionError(
            f"{place_of(compared)} did not give back a table of {rows.num_rows} rows",
            "drop or change columns only, and return the table",
        )
    if PREDICTION in rows.column_names and PREDICTION not in seen.column_names:
        return seen.append_column(PREDICTION, rows[PREDICTION])
    return seen
