"""The shared table of clients: its bytes, its buckets, and what becomes of dead workers' counts."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldpath.serving.access import client_table
from goldpath.serving.access.client_table import ClientTable

WORKERS, RECORDS = 32, 4096
HEADER, RECORD = 8 + 16 + 8 * WORKERS, 8 + 8 + 2 * WORKERS
START = 10**15


class Clock:
    """Nanoseconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Bytes:
    """The file, read as its layout says."""

    def __init__(self, file: Path) -> None:
        self.content = file.read_bytes()
        assert len(self.content) == HEADER + RECORDS * RECORD
        self.pids = struct.unpack_from("<32q", self.content, 24)
        parts = [self.content[HEADER + n * RECORD :][:RECORD] for n in range(RECORDS)]
        self.records = {n: part for n, part in enumerate(parts) if any(part)}
        self.full_at = {n: struct.unpack_from("<q", p, 8)[0] for n, p in self.records.items()}
        self.counts = {n: struct.unpack_from("<32H", p, 16) for n, p in self.records.items()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "table"


def counts(*columns: int) -> tuple[int, ...]:
    return (*columns, *[0] * (WORKERS - len(columns)))


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_file_has_the_layout_that_its_mark_names(file: Path) -> None:
    clock = Clock()
    first, second = ClientTable(file, clock), ClientTable(file, clock)
    assert first.take("shop", 3, 10, 100) == (3, 0)
    assert first.enter("shop", 9) == second.enter("shop", 9)
    assert second.enter("shop", 9) is not None

    found = Bytes(file)

    assert first.is_shared
    assert found.content[:8] == b"clients1"
    assert len(set(found.content[8:24])) > 2, "a salt"
    assert found.pids == counts(os.getpid(), os.getpid())
    assert [*found.full_at.values()] == [START + 30]
    assert [*found.counts.values()] == [counts(1, 2)]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_table_that_is_there_is_kept_with_its_salt(file: Path) -> None:
    clock = Clock()
    place = ClientTable(file, clock).enter("shop", 9)
    before = Bytes(file)

    again = ClientTable(file, clock)

    assert again.enter("shop", 9) == place
    assert Bytes(file).content[:24] == before.content[:24]
    assert again.take("shop", 9, 10, 50) == ClientTable(None, clock).take("shop", 9, 10, 50)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_table_of_another_size_is_made_anew(file: Path, change: int) -> None:
    ClientTable(file, Clock()).enter("shop", 9)
    os.truncate(file, HEADER + RECORDS * RECORD + change)

    ClientTable(file, Clock())

    assert Bytes(file).records == {}


def test_a_file_with_another_mark_is_cleared(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"clients0" + b"x" * (HEADER + RECORDS * RECORD - 8))

    ClientTable(file, Clock())

    found = Bytes(file)
    assert (found.content[:8], found.records) == (b"clients1", {})
    assert found.pids == counts(os.getpid())


def test_without_a_file_the_table_is_this_processes_alone() -> None:
    table = ClientTable(None, Clock())
    assert not table.is_shared
    assert table.take("shop", 3, 10, 20) == (2, 0)
    assert ClientTable(None, Clock()).take("shop", 3, 10, 20) == (2, 0)
    table.close()


def test_a_workers_column_is_given_back_and_taken_again(file: Path) -> None:
    tables = [ClientTable(file, Clock()) for _ in range(3)]
    for times, table in enumerate(tables, start=1):
        for client in ("shop", "other"):
            for _ in range(times):
                table.enter(client, 99)

    tables[1].close()

    found = Bytes(file)
    assert found.pids == counts(os.getpid(), 0, os.getpid())
    assert [*found.counts.values()] == [counts(1, 0, 3)] * 2
    assert ClientTable(file, Clock()).enter("shop", 99) is not None
    assert Bytes(file).pids == counts(*[os.getpid()] * 3)
    assert sorted(Bytes(file).counts.values()) == [counts(1, 0, 3), counts(1, 1, 3)]


def test_each_of_32_workers_has_a_column_and_a_further_one_shares(file: Path) -> None:
    tables = [ClientTable(file, Clock()) for _ in range(WORKERS)]
    for table in tables:
        table.enter("shop", 1000)
    assert [*Bytes(file).counts.values()] == [(1,) * WORKERS]

    ClientTable(file, Clock()).enter("shop", 1000)

    expected = [1] * WORKERS
    expected[os.getpid() % WORKERS] = 2
    assert [*Bytes(file).counts.values()] == [tuple(expected)]


def test_a_dead_workers_counts_go_and_those_of_the_living_stay(file: Path) -> None:
    tables = [ClientTable(file, Clock()) for _ in range(4)]
    for times, table in enumerate(tables, start=1):
        for _ in range(times):
            table.enter("shop", 99)
    dead = dead_process()
    for column in (1, 3):
        struct.pack_into("<q", tables[0]._map, 24 + 8 * column, dead)

    assert tables[0].enter("shop", 11) is not None, "there is room without asking who lives"
    assert [*Bytes(file).counts.values()] == [counts(2, 2, 3, 4)]
    assert tables[0].enter("shop", 11) is not None
    assert [*Bytes(file).counts.values()] == [counts(3, 0, 3, 0)]
    assert Bytes(file).pids == counts(os.getpid(), 0, os.getpid(), 0)


def test_a_new_worker_takes_a_dead_ones_column_without_its_counts(file: Path) -> None:
    first, second = ClientTable(file, Clock()), ClientTable(file, Clock())
    first.enter("shop", 9)
    second.enter("shop", 9)
    struct.pack_into("<q", first._map, 24, dead_process())

    ClientTable(file, Clock()).enter("shop", 9)

    assert Bytes(file).pids == counts(os.getpid(), os.getpid())
    assert [*Bytes(file).counts.values()] == [counts(1, 1)]


def test_as_many_requests_as_allowed_are_under_way_and_no_more(file: Path) -> None:
    table, other = ClientTable(file, Clock()), ClientTable(file, Clock())
    place = table.enter("shop", 3)
    assert place is not None
    assert [other.enter("shop", 3), other.enter("shop", 3)] == [place, place]
    assert table.enter("shop", 3) is None
    assert table.enter("other", 1) not in (None, place)
    assert table.enter("nobody", 0) is None
    assert other.enter("shop", 2) is None, "a limit that is lower since"
    other.leave(place)
    assert table.enter("shop", 3) == place
    for _ in range(9):
        other.leave(place)
    assert {counts(2), counts(1)} <= {*Bytes(file).counts.values()}, "no count is below none"


def test_a_count_that_is_full_stays_full(file: Path) -> None:
    table = ClientTable(file, Clock())
    place = table.enter("shop", 9)
    assert place is not None
    struct.pack_into("<H", table._map, place + 16, 0xFFFE)

    assert [table.enter("shop", 10**6), table.enter("shop", 10**6)] == [place, place]

    assert [*Bytes(file).counts.values()] == [counts(0xFFFF)]


@pytest.mark.parametrize("probes", [1, 3, 8])
def test_clients_have_records_of_their_own_while_there_are_some(
    file: Path, monkeypatch: pytest.MonkeyPatch, probes: int
) -> None:
    """Each probed record may be the client's, around the table's end too."""
    monkeypatch.setattr(client_table, "RECORDS", 8)
    monkeypatch.setattr(client_table, "PROBES", probes)
    clock = Clock()
    table = ClientTable(file, clock)
    names = [f"client {number}" for number in range(300)]
    places = {name: table.enter(name, 1000) for name in names}

    used = {place for place in places.values() if place is not None}
    assert used == {HEADER + n * RECORD for n in range(8)}
    assert sum(sum(each) for each in Bytes(file).counts.values()) == 300, "none was forgotten"
    keys = {n: record[:8] for n, record in Bytes(file).records.items()}
    assert len({*keys.values()} - {bytes(8)}) == 8, "each names its client"
    for name in names:
        place = table.enter(name, 1000)
        assert place == places[name], "the same record again"
    assert {n: record[:8] for n, record in Bytes(file).records.items()} == keys


def test_a_record_is_free_when_its_bucket_is_full_and_nothing_is_under_way(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_table, "RECORDS", 1)
    clock = Clock()
    table = ClientTable(file, clock)
    assert table.take("shop", 1, 10, 10) == (1, 0)

    clock.now += 9
    assert table.take("other", 1, 10, 10) == (0, 1), "it shares the record"
    clock.now += 1
    assert table.take("other", 1, 10, 10) == (1, 0)
    clock.now += 10
    place = table.enter("other", 1)
    assert place is not None
    assert table.enter("shop", 1) is None, "a request under way holds the record"
    table.leave(place)
    assert table.enter("shop", 1) == place


@settings(max_examples=60, deadline=None)
@given(
    interval=st.integers(1, 50),
    size=st.integers(1, 9),
    steps=st.lists(
        st.tuples(st.integers(0, 120), st.sampled_from("ab"), st.integers(1, 12)), max_size=30
    ),
)
def test_a_bucket_gives_what_it_holds_and_says_when_there_is_more(
    interval: int, size: int, steps: list[tuple[int, str, int]]
) -> None:
    clock = Clock()
    table = ClientTable(None, clock)
    burst = interval * size
    held = dict.fromkeys("ab", burst)  # in nanoseconds' worth of requests
    for wait, client, wanted in steps:
        clock.now += wait
        held = {name: min(burst, each + wait) for name, each in held.items()}
        there = held[client] // interval
        expected = min(wanted, there)
        answer = (expected, 0) if there else (0, interval - held[client])
        assert table.take(client, wanted, interval, burst) == answer
        held[client] -= expected * interval


def test_a_clock_that_began_again_leaves_a_full_bucket(file: Path) -> None:
    clock = Clock()
    table = ClientTable(file, clock)
    assert table.take("shop", 9, 10, 50) == (5, 0)
    clock.now -= 1
    assert table.take("shop", 9, 10, 50) == (5, 0), "later than any bucket can be full"
    clock.now += 1
    assert table.take("shop", 9, 10, 50) == (0, 9)


def test_a_folder_that_is_none_is_said_and_leaves_a_table(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    table = ClientTable(tmp_path / "file" / "table", Clock())
    assert not table.is_shared
    assert "limits hold for each worker alone" in caplog.text
