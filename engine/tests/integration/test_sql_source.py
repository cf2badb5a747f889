"""A query over a real PostgreSQL and over SQLite brings its rows as exact text."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from goldpath.raw_source import Source
from goldpath.sources.files import SourceError
from goldpath.sources.read import list_parts, open_part, read_raw

from ..peak_memory import rows_and_growth
from ..ports import free_port
from ..postgres_server import PASSWORD, postgres_server

QUERY = "SELECT * FROM orders"
URL = "MLOPS_SOURCE_URL"
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL of a server on a free port of 127.0.0.1 that asks for the password."""
    with postgres_server() as url:
        yield url


@pytest.fixture
def shop(postgres: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """PostgreSQL with a table of orders."""
    engine = create_engine(postgres.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS orders"))
        connection.execute(
            text(
                "CREATE TABLE orders (id text, amount numeric(30, 10), zoned timestamptz, "
                "plain timestamp, day date, paid boolean, raw bytea, more jsonb, plan json, "
                "ratio double precision, parts numeric[])"
            )
        )
        connection.execute(
            text(
                "INSERT INTO orders VALUES ('a', 12345678901234567890.0123456789, "
                "'2026-03-01 12:00:00+02', '2026-03-01 12:00:00.25', '2026-03-01', true, "
                """'\\x00ff', '[1.10, "é", 12345678901234567890.5, null]', '"gold"', """
                "0.1, '{1.50}'), "
                "('b', NULL, NULL, NULL, NULL, false, NULL, NULL, 'null', 'NaN', NULL)"
            )
        )
    engine.dispose()
    monkeypatch.setenv(URL, postgres)
    return postgres


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An SQLite file with a table of orders."""
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE orders (id TEXT, amount REAL, raw BLOB)")
        rows = [("a:b", 0.1, b"\x00\xff"), ("10%", None, None)]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
        connection.commit()
    monkeypatch.setenv(URL, f"sqlite:///{file}")
    return file


def test_postgres_values_come_as_exact_text(shop: str) -> None:
    rows = read_raw(Source(query=QUERY + " ORDER BY id"), Path()).to_pylist()
    assert rows[0] == {
        "id": "a",
        "amount": "12345678901234567890.0123456789",
        "zoned": "2026-03-01 10:00:00",
        "plain": "2026-03-01 12:00:00.250000",
        "day": "2026-03-01",
        "paid": "true",
        "raw": "00ff",
        "more": '[1.10, "é", 12345678901234567890.5, null]',
        "plan": "gold",
        "ratio": "0.1",
        "parts": '["1.50"]',
    }
    assert rows[1].pop("id") == "b"
    assert rows[1].pop("paid") == "false"
    assert rows[1].pop("ratio") == "nan"
    assert set(rows[1].values()) == {None}


def test_an_unchanged_result_is_no_new_batch(shop: str) -> None:
    up, down = (Source(query=f"{QUERY} ORDER BY id {order}") for order in ("ASC", "DESC"))
    assert list_parts(up, Path())[0].digest == list_parts(down, Path())[0].digest
    less = Source(query=f"{QUERY} WHERE id = 'a'")
    assert list_parts(less, Path())[0].digest != list_parts(up, Path())[0].digest


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM orders WHERE id LIKE 'a%'",
        "SELECT id FROM orders WHERE id || ' :x' = 'a :x';",
        "SELECT id FROM orders WHERE id = 'a'::text",
    ],
)
def test_colons_and_per_cent_signs_mean_themselves(shop: str, query: str) -> None:
    rows = read_raw(Source(query=query), Path())
    assert rows["id"].to_pylist() == ["a"]


def test_a_query_that_would_write_is_refused(shop: str) -> None:
    with pytest.raises(SourceError, match=r"source\.query fails"):
        list_parts(Source(query="DELETE FROM orders RETURNING *"), Path())
    assert read_raw(Source(query=QUERY), Path()).num_rows == 2


@pytest.mark.slow
def test_a_result_larger_than_the_memory_it_may_use_passes(shop: str) -> None:
    # 110 000 rows of 3 200 characters that barely compress in the server or on the way.
    wide = "SELECT g, repeat(md5(g::text), 100) AS text FROM generate_series(1, 110000) g"
    read, grown = rows_and_growth(Source(query=wide), first=Source(query="SELECT 1 AS g"))
    assert read == 110_000
    assert grown < 150 * MEGABYTE, f"peak memory grew by {grown // MEGABYTE} MB"


def test_a_refused_query_a_wrong_password_and_a_dead_server_show_no_password(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceError, match="absent") as refused:
        list_parts(Source(query="SELECT * FROM absent"), Path())
    monkeypatch.setenv(URL, shop.replace(PASSWORD, "other-word"))
    with pytest.raises(SourceError, match=r"cannot be reached: .*password") as wrong:
        list_parts(Source(query=QUERY), Path())
    monkeypatch.setenv(URL, f"postgresql://shop:{PASSWORD}@127.0.0.1:{free_port()}/postgres")
    with pytest.raises(SourceError, match="cannot be reached") as dead:
        list_parts(Source(query=QUERY), Path())
    for caught in (refused, wrong, dead):
        assert PASSWORD not in str(caught.value)
        assert "other-word" not in str(caught.value)


def test_sqlite_values_come_as_text_and_the_part_can_be_opened_twice(sqlite: Path) -> None:
    (part,) = list_parts(Source(query=QUERY), sqlite.parent)
    for _ in range(2):
        with open_part(part) as reader:
            assert reader.read_all().to_pydict() == {
                "id": ["a:b", "10%"],
                "amount": ["0.1", None],
                "raw": ["00ff", None],
            }


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELECT * FROM absent", "source.query fails: no such table"),
        ("SELEC", "source.query fails: near"),
        ("SELECT id, id FROM orders", "more than once"),
        ("SELECT * FROM orders WHERE id = 'none'", "no rows"),
    ],
)
def test_a_wrong_query_is_explained(sqlite: Path, query: str, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint) as caught:
        read_raw(Source(query=query), sqlite.parent)
    assert caught.value.fix


def test_a_mistyped_sqlite_path_makes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(SourceError, match="does not exist"):
        list_parts(Source(query=QUERY), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "is not set"),
        ("no url", "is no database URL"),
        ("postgresql://shop:secret-word@2:5432@host/db", "is no database URL"),
        ("oracle+none://shop:secret-word@x/y", "no driver is installed"),
        ("postgresql+psycopg2://shop:secret-word@x/y", "no driver is installed"),
    ],
)
def test_a_missing_or_wrong_url_is_explained(
    url: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, url)
    with pytest.raises(SourceError, match=complaint) as caught:
        list_parts(Source(query=QUERY), Path())
    assert PASSWORD not in str(caught.value)
