"""Rows for the champion in a notebook: of the contract's types, or an error that names a value."""

import re
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from goldpath.contract import Contract
from goldpath.notebooks import NotebookError, require_columns

CONTRACT = Contract.model_validate(
    {
        "dataset": "shop",
        "problem": "regression",
        "source": {"path": "shop.csv"},
        "target": {"column": "spent"},
        "features": [
            {"name": "age", "type": "integer", "nullable": True},
            {"name": "member", "type": "boolean", "nullable": True},
            {"name": "zone", "type": "category", "categories": ["1", "2"], "nullable": True},
        ],
    }
)
GOOD: dict[str, list[Any]] = {"age": [3, None], "member": [True, None], "zone": ["1", None]}
TYPED = pa.schema([("age", pa.int64()), ("member", pa.bool_()), ("zone", pa.string())])


def records(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame(GOOD),
        pd.DataFrame(GOOD | {"column_names": [1, 2]}),
        pd.DataFrame(GOOD).convert_dtypes(),
        pd.DataFrame(GOOD).astype({"zone": "category", "age": "float32"}),
        pd.DataFrame({"age": [Decimal("3.5")], "member": [1], "zone": [np.str_("2")], "more": [0]}),
        pa.table(GOOD, TYPED),
        pa.table({"age": [1.5], "member": [1], "zone": pa.array(["1"]).dictionary_encode()}),
        pa.table({"age": pa.nulls(2), "member": pa.nulls(2), "zone": pa.nulls(2)}),
        records(GOOD),
        [],
    ],
    ids=[
        "frame",
        "an attribute of a table as a column",
        "nullable",
        "categories",
        "decimals",
        "arrow",
        "dictionary",
        "nulls",
        "rows",
        "0",
    ],
)
def test_rows_of_the_contracts_types_pass(rows: object) -> None:
    require_columns(rows, CONTRACT, "version 1")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"zone": [1, 2]}, "zone holds 1 (integer), and version 1 reads texts"),
        ({"zone": [1.0, None]}, "zone holds 1.0 (floating), and version 1 reads texts"),
        ({"zone": [True, None]}, "zone holds True (boolean), and version 1 reads texts"),
        ({"age": ["3", None]}, "age holds '3' (string), and version 1 reads numbers"),
        ({"member": ["yes", None]}, "member holds 'yes' (string), and version 1 reads numbers"),
    ],
)
def test_values_of_another_type_are_named_in_each_form(
    changed: dict[str, list[Any]], said: str
) -> None:
    columns = GOOD | changed
    for rows in (pd.DataFrame(columns), pa.table(columns), records(columns)):
        with pytest.raises(NotebookError) as raised:
            require_columns(rows, CONTRACT, "version 1")
        plain = raised.value.message.replace("np.True_", "True")
        assert re.sub(r"np\.\w+\((.+?)\)", r"\1", plain) == said


def test_a_row_behind_the_first_that_lacks_a_column_is_noticed() -> None:
    rows = [*records(GOOD), {"age": 3, "zone": "1"}]
    with pytest.raises(NotebookError, match="the rows lack member, which version 1 reads"):
        require_columns(rows, CONTRACT, "version 1")
