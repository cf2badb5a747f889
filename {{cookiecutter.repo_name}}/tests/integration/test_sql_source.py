"""A query over a real PostgreSQL and over SQLite brings its rows as exact text."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from {{ cookiecutter.package_name }}.contract import Source
from {{ cookiecutter.package_name }}.data.source_files import SourceError
from {{ cookiecutter.package_name }}.data.sources import list_parts, open_part, read_raw

from ..ports import free_port

QUERY = "SELECT * FROM orders"
URL = "MLOPS_SOURCE_URL"


def programs() -> Path | None:
    """Where PostgreSQL's programs are: on the PATH, or in Debian's folder."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that listens on a free port of 127.0.0.1."""
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    # PostgreSQL refuses to run as root, and its user must reach the folder.
    base = Path(tmp_path_factory.mktemp("postgres"))
    data, port = base / "data", free_port()
    prefix: list[str] = []
    if os.getuid() == 0:
        for place in (base, *base.parents):
            if place.owner() == "root" and not place.stat().st_mode & 0o001:
                place.chmod(place.stat().st_mode | 0o011)
        shutil.chown(base, "nobody", "nogroup")
        prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    subprocess.run(
        [
            *prefix,
            str(folder / "initdb"),
            "-D",
            str(data),
            "-U",
            "shop",
            "-A",
            "trust",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
        cwd=base,
    )
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {base} -c fsync=off"
    subprocess.run(
        [
            *(*prefix, str(folder / "pg_ctl"), "-D", str(data), "-w", "-o", options),
            *("-l", str(base / "log"), "start"),
        ],
        check=True,
        capture_output=True,
        cwd=base,
    )
    yield f"postgresql://shop:secret-word@127.0.0.1:{port}/postgres"
    subprocess.run(
        [*prefix, str(folder / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"],
        check=True,
        capture_output=True,
        cwd=base,
    )


def fill(url: str) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS orders"))
        connection.execute(
            text(
                "CREATE TABLE orders (id text, amount numeric(30, 10), at timestamptz, day date, "
                "paid boolean, raw bytea, more jsonb, ratio double precision)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO orders VALUES ('a', 12345678901234567890.0123456789, "
                "'2026-03-01 12:00:00+02', '2026-03-01', true, '\\x00ff', "
                "'[1, \"é\"]', 0.1), ('b', NULL, NULL, NULL, false, NULL, NULL, 'NaN')"
            )
        )
    engine.dispose()


def test_postgres_values_come_as_exact_text(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(postgres)
    monkeypatch.setenv(URL, postgres)
    rows = read_raw(Source(query=QUERY + " ORDER BY id"), Path()).to_pylist()
    assert rows[0] == {
        "id": "a",
        "amount": "12345678901234567890.0123456789",
        "at": "2026-03-01 10:00:00",
        "day": "2026-03-01",
        "paid": "true",
        "raw": "00ff",
        "more": '[1, "é"]',
        "ratio": "0.1",
    }
    assert rows[1]["amount"] is None
    assert rows[1]["ratio"] == "nan"


def test_an_unchanged_result_is_no_new_batch(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(postgres)
    monkeypatch.setenv(URL, postgres)
    up, down = (Source(query=f"{QUERY} ORDER BY id {order}") for order in ("ASC", "DESC"))
    assert list_parts(up, Path())[0].digest == list_parts(down, Path())[0].digest
    less = Source(query=f"{QUERY} WHERE id = 'a'")
    assert list_parts(less, Path())[0].digest != list_parts(up, Path())[0].digest


def test_a_refused_query_and_a_dead_server_hide_the_password(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, postgres)
    with pytest.raises(SourceError, match="absent") as refused:
        list_parts(Source(query="SELECT * FROM absent"), Path())
    monkeypatch.setenv(URL, f"postgresql://shop:secret-word@127.0.0.1:{free_port()}/postgres")
    with pytest.raises(SourceError, match="does not answer") as dead:
        list_parts(Source(query=QUERY), Path())
    assert "secret-word" not in refused.value.message + dead.value.message


def test_sqlite_and_the_part_can_be_opened_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.execute("CREATE TABLE orders (id TEXT, amount REAL)")
    connection.executemany("INSERT INTO orders VALUES (?, ?)", [("a", 0.1), ("b", None)])
    connection.commit()
    connection.close()
    monkeypatch.setenv(URL, f"sqlite:///{tmp_path / 'shop.db'}")
    (part,) = list_parts(Source(query=QUERY), tmp_path)
    for _ in range(2):
        with open_part(part) as reader:
            assert reader.read_all().to_pydict() == {"id": ["a", "b"], "amount": ["0.1", None]}


@pytest.mark.parametrize(
    ("url", "complaint"),
    [("", "is not set"), ("no url", "is no URL"), ("oracle+none://x/y", "is no URL")],
)
def test_a_missing_or_wrong_url_is_explained(
    url: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, url)
    with pytest.raises(SourceError, match=complaint):
        list_parts(Source(query=QUERY), Path())


def test_a_query_without_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.execute("CREATE TABLE orders (id TEXT)")
    connection.close()
    monkeypatch.setenv(URL, f"sqlite:///{tmp_path / 'shop.db'}")
    with pytest.raises(SourceError, match="no rows"):
        list_parts(Source(query=QUERY), tmp_path)
