"""Recipes in SQL: applied like those in Ibis, and refused where DuckDB and Athena differ."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pytest

from goldpath.contract import load_contract
from goldpath.errors import ProjectError
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.jobs.data.recipes import recipes_digest
from goldpath.jobs.data.sql_recipe import SqlRecipe, sql_recipe
from goldpath.lake.athena.sql import TableReference, athena_sql
from goldpath.project import Data, Project
from goldpath.settings import Settings
from goldpath.testing import tiny_lake

from ..athena_functions import MACROS, parse_athena, to_duckdb

ROWS = pa.table(
    {
        "id": pa.array(["a-1", "b-2", None, "c-4"]),
        "x": pa.array([1.5, -2.0, None, 0.0]),
        "n": pa.array([3, 0, None, -7], pa.int64()),
        "text": pa.array([" Ab ", "12", "", None]),
    }
)
Recipe = Callable[[str], SqlRecipe]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    def write(text: str) -> SqlRecipe:
        file = tmp_path / "recipe.sql"
        file.write_text(text, encoding="utf-8")
        return sql_recipe(file)

    return write


def on_duckdb(recipe: SqlRecipe) -> list[dict[str, object]]:
    found = recipe(ibis.memtable(ROWS))
    return list(ibis.duckdb.connect().to_pyarrow(found).to_pylist())


def on_athena(recipe: SqlRecipe) -> list[dict[str, object]]:
    lake = ibis.table(
        ibis.Schema.from_pyarrow(ROWS.schema), name=TableReference("rows", None, 0).name
    )
    connection = duckdb.connect()
    for macro in MACROS:
        connection.execute(macro)
    connection.register("given", ROWS)
    connection.execute("CREATE SCHEMA lake; CREATE TABLE lake.rows AS SELECT * FROM given")
    statement = to_duckdb(parse_athena(athena_sql(recipe(lake), "lake")))
    return list(connection.sql(statement).to_arrow_table().to_pylist())


EXPRESSIONS = {
    "x + 1": [2.5, -1.0, None, 1.0],
    "-x * 2 - n": [-6.0, 4.0, None, 7.0],
    "x / n": [0.5, None, None, 0.0],
    "n % 2": [1, 0, None, -1],
    "CAST(n AS DOUBLE) / 2": [1.5, 0.0, None, -3.5],
    "CASE WHEN x > 0 THEN 'up' WHEN x < 0 THEN 'down' ELSE 'none' END": [
        "up",
        "down",
        "none",
        "none",
    ],
    "CASE id WHEN 'a-1' THEN 1 END": [1, None, None, None],
    "COALESCE(x, 9)": [1.5, -2.0, 9.0, 0.0],
    "NULLIF(n, 0)": [3, None, None, -7],
    "id || '!'": ["a-1!", "b-2!", None, "c-4!"],
    "LOWER(TRIM(text))": ["ab", "12", "", None],
    "UPPER(text)": [" AB ", "12", "", None],
    "LENGTH(text)": [4, 2, 0, None],
    "SUBSTR(id, 1, 1)": ["a", "b", None, "c"],
    "SUBSTR(id, 3)": ["1", "2", None, "4"],
    "REPLACE(id, '-', '')": ["a1", "b2", None, "c4"],
    "STARTS_WITH(id, 'a')": [True, False, None, False],
    "id LIKE 'b%'": [False, True, None, False],
    "id IN ('a-1', 'c-4')": [True, False, None, True],
    "id NOT LIKE 'b%'": [True, False, None, True],
    "NOT (id LIKE 'b%')": [True, False, None, True],
    "id NOT IN ('a-1')": [False, True, None, True],
    "x BETWEEN 0 AND 2": [True, False, None, True],
    "x IS NULL OR NOT (n = 0)": [True, False, True, True],
    "x IS NOT NULL AND x <> 0": [True, True, False, False],
    "TRY_CAST(text AS DOUBLE)": [None, 12.0, None, None],
    "TRY_CAST(REPLACE(text, '12', '2.5') AS BIGINT)": [None, None, None, None],
    "TRY_CAST(REPLACE(text, '12', '1_0') AS DOUBLE)": [None, None, None, None],
    "TRY_CAST(REPLACE(text, '12', ' 7 ') AS BIGINT)": [None, 7, None, None],
    "TRY_CAST(REPLACE(text, '12', 'yes') AS BOOLEAN)": [None, None, None, None],
    "CAST(n AS VARCHAR)": ["3", "0", None, "-7"],
    "ABS(x)": [1.5, 2.0, None, 0.0],
    "FLOOR(x)": [1, -2, None, 0],
    "CEIL(x)": [2, -2, None, 0],
    "ROUND(x, 1)": [1.5, -2.0, None, 0.0],
    "ROUND(x)": [2.0, -2.0, None, 0.0],
    "ROUND(x) / 4": [0.5, -0.5, None, 0.0],
    "FLOOR(x * 1e300) = x * 1e300": [True, True, None, True],
    "CAST(CAST(ROUND(x) AS BIGINT) AS VARCHAR)": ["2", "-2", None, "0"],
    "ROUND(n, 1)": [3, 0, None, -7],
    "x + 0.30000000000000004": [1.8, -1.7, None, 0.30000000000000004],
    "SQRT(x) >= 1": [True, None, None, False],
    "LN(x) IS NULL": [False, True, True, True],
    "EXP(x) > 1": [True, False, None, False],
}


def test_each_function_answers_the_same_on_duckdb_and_on_athena(recipe: Recipe) -> None:
    columns = ",\n".join(f"{text} AS c{at}" for at, text in enumerate(EXPRESSIONS))
    made = recipe(f"SELECT {columns}\nFROM rows")
    for place, found in (("DuckDB", on_duckdb(made)), ("Athena", on_athena(made))):
        for at, (text, expected) in enumerate(EXPRESSIONS.items()):
            assert [row[f"c{at}"] for row in found] == expected, f"{text} on {place}"


def test_a_column_behind_the_star_takes_the_place_of_its_namesake(recipe: Recipe) -> None:
    made = recipe("-- whole rows\nSELECT *, rows.x * 2 AS x, ID AS other FROM rows WHERE n >= 0;")
    for found in (on_duckdb(made), on_athena(made)):
        assert [row["x"] for row in found] == [3.0, -4.0]
        assert list(found[0]) == ["id", "x", "n", "text", "other"]


def test_sql_minds_no_capitals_in_names(recipe: Recipe) -> None:
    made = recipe("SELECT *, X + 1 AS X, n AS Id FROM rows")
    (first, *_), (again, *_) = on_duckdb(made), on_athena(made)
    assert first == again == {"id": 3, "x": 2.5, "n": 3, "text": " Ab "}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT x = NULL AS y FROM rows", "EQ with NULL is never true: write IS NULL"),
        ("SELECT x FROM rows\nWHERE n <> (NULL)", ":2: NEQ with NULL is never true"),
        ("SELECT n IN (1, NULL) AS y FROM rows", "IN with NULL"),
        ("SELECT n NOT IN (1, NULL) AS y FROM rows", "IN with NULL"),
        ("SELECT CASE n WHEN NULL THEN 1 END AS y FROM rows", "CASE with NULL"),
        ("SELECT n BETWEEN NULL AND 1 AS y FROM rows", "BETWEEN with NULL"),
        ("SELECT n AND x > 1 AS y FROM rows", "n is no condition: it is int64"),
        ("SELECT NOT n AS y FROM rows", "n is no condition: it is int64"),
        ("SELECT CASE WHEN n THEN 1 END AS y FROM rows", "n is no condition: it is int64"),
        ("SELECT x FROM rows WHERE n", "n is no condition: it is int64"),
        ("SELECT x AS y, n AS y FROM rows", "two columns are called y"),
        ("SELECT x * 2 AS x, * FROM rows", "x is named before *"),
        ("SELECT ROUND(x, -1) AS y FROM rows", "ROUND takes a number of digits of 0 or more"),
        ("SELECT CAST(n AS VARCHAR(1)) AS y FROM rows", "to a text of limited length"),
        ("SELECT x FROM rows; SELECT x FROM rows", "holds 2 statements"),
        ("", "holds 0 statements"),
        ("DELETE FROM rows", "DELETE is no recipe"),
        ("DROP TABLE rows", "DROP is no recipe"),
        ("INSERT INTO rows VALUES (1)", "INSERT is no recipe"),
        ("SELECT x FROM rows UNION SELECT x FROM rows", "UNION is no recipe"),
        ("SELECT x\nFROM payments", ":2: the statement reads payments"),
        ("SELECT x FROM lake.rows", "the statement reads lake.rows"),
        ("SELECT 1 AS x", "the statement reads nothing"),
        ("SELECT x FROM rows, payments", "JOINS is used"),
        ("SELECT x FROM rows JOIN payments ON true", "JOINS is used"),
        ("WITH a AS (SELECT 1) SELECT x FROM rows", "WITH is used"),
        ("SELECT DISTINCT x FROM rows", "DISTINCT is used"),
        ("SELECT x FROM rows ORDER BY x", "ORDER is used"),
        ("SELECT x FROM rows LIMIT 3", "LIMIT is used"),
        ("SELECT x FROM rows GROUP BY x", "GROUP is used"),
        ("SELECT x,\n (SELECT 1) AS y FROM rows", "SUBQUERY is not in both"),
        ("SELECT x,\n\n md5(id) AS y FROM rows", ":3: MD5"),
        ("SELECT list_contains(id, 'a') AS y FROM rows", "LIST_CONTAINS is not in both"),
        ("SELECT strftime(id, '%Y') AS y FROM rows", "is not in both"),
        ("SELECT greatest(x, 1) AS y FROM rows", "GREATEST is not in both"),
        ("SELECT concat(id, 'a') AS y FROM rows", "CONCAT is not in both"),
        ("SELECT avg(x) AS y FROM rows", "AVG is not in both"),
        ("SELECT row_number() OVER (ORDER BY x) AS y FROM rows", "WINDOW is not in both"),
        ("SELECT random() AS y FROM rows", "RAND is not in both"),
        ("SELECT n / 2 AS y FROM rows", "whole numbers differs"),
        ("SELECT CAST(x AS BIGINT) AS y FROM rows", "with a fraction to BIGINT differs"),
        ("SELECT CAST(x AS VARCHAR) AS y FROM rows", "with a fraction to VARCHAR differs"),
        ("SELECT CAST(text AS DOUBLE) AS y FROM rows", "use TRY_CAST"),
        ("SELECT CAST(id AS DATE) AS y FROM rows", "to DATE is not in both"),
        ("SELECT x || 'a' AS y FROM rows", "joins texts"),
        ("SELECT x,\nidd FROM rows", ":2: rows have no column idd, did you mean id"),
        ("SELECT p.x FROM rows", "p.x is of another table"),
        ("SELECT x + 1 FROM rows", "has no name"),
        ("SELECT x\nFROM rows\nWHERE id > 3", ":3: id > 3: "),
        ("SELECT ROUND(id) AS y FROM rows", "ROUND(id): "),
        ("SELECT x\nFROM rows\nWHERE (", "cannot read the statement"),
    ],
)
def test_what_is_no_recipe_of_both_is_refused_with_file_and_line(
    recipe: Recipe, tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ProjectDefinitionError) as raised:
        recipe(text)(ibis.memtable(ROWS))
    assert said in raised.value.message
    assert raised.value.message.startswith(str(tmp_path / "recipe.sql"))


def test_a_file_that_is_missing_is_named_and_a_path_starts_at_the_python_file() -> None:
    with pytest.raises(ProjectDefinitionError, match=r"tests/unit/nowhere\.sql does not exist"):
        sql_recipe("nowhere.sql")


def test_it_stands_wherever_an_ibis_recipe_may(recipe: Recipe, project: Settings) -> None:
    contract = load_contract(project.root)
    silver = recipe(
        "SELECT *, CASE WHEN contract = 'lifetime' THEN 'two-year' ELSE contract END AS contract\n"
        "FROM rows"
    )
    own = Project(data=lambda: Data(silver=silver))

    lake = tiny_lake([{"contract": "lifetime"}], project=own, contract=contract)

    assert [row["contract"] for row in lake.rows("silver")] == ["two-year"]
    assert place_of(silver) == str(silver.file)
    raw = ibis.table(dict.fromkeys(contract.raw_columns, "string"), name="raw")
    first = recipes_digest(raw, contract, Data(silver=silver))
    silver.file.write_text("SELECT * FROM rows", encoding="utf-8")
    assert recipes_digest(raw, contract, Data(silver=silver)) != first


def test_silver_keeps_each_row_also_in_sql(recipe: Recipe, project: Settings) -> None:
    contract = load_contract(project.root)
    own = Project(data=lambda: Data(silver=recipe("SELECT * FROM rows WHERE age = '3'")))
    with pytest.raises(ProjectError, match=r"recipe\.sql uses Filter, and silver must keep"):
        tiny_lake([{}], project=own, contract=contract)
    own = Project(data=lambda: Data(gold=recipe("SELECT age FROM rows")))
    with pytest.raises(ProjectError, match=r"recipe\.sql drops .*which gold needs"):
        tiny_lake([{}], project=own, contract=contract)
