"""A client has what it was promised, over all workers, and never more."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from goldpath.serving.access import client_table
from goldpath.serving.access import limits as limits_module
from goldpath.serving.access.client_table import RECORDS, ClientTable
from goldpath.serving.access.limits import SECOND, Limits
from goldpath.serving.access.roles import ANONYMOUS, Client
from goldpath.serving.http.problem_error import ProblemError

SHOP = Client("shop", frozenset({"predict"}))
ANYBODY = Client(ANONYMOUS, frozenset({"predict"}))


class Clock:
    """Nanoseconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 10**15

    def __call__(self) -> int:
        return self.now


Steps = list[tuple[int, int, int]]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rate=st.sampled_from([0.5, 3, 40, 200, 1000, 30_000]),
    burst_seconds=st.sampled_from([0.05, 0.2, 1, 3]),
    steps=st.lists(
        st.tuples(
            st.one_of(st.integers(0, 10**6), st.integers(0, 60 * 10**6), st.integers(0, 10**10)),
            st.integers(0, 2),
            st.integers(1, 80),
        ),
        max_size=40,
    ),
)
@example(200, 1, [(0, 0, 30), (60 * 10**6, 1, 80), (0, 2, 80), (10**6, 0, 80)])
def test_no_stretch_of_time_has_more_than_rate_and_burst(
    tmp_path_factory: pytest.TempPathFactory, rate: float, burst_seconds: float, steps: Steps
) -> None:
    clock = Clock()
    file = tmp_path_factory.mktemp("limits") / "table"
    workers = [Limits(file, rate, burst_seconds, clock=clock) for _ in range(3)]
    admitted: list[int] = []
    for wait, worker, count in steps:
        clock.now += wait
        admitted += [clock.now for _ in range(count) if workers[worker].admit(SHOP)]

    burst = max(1, int(rate * burst_seconds))
    # Within a burst each window begins and ends at a request, so these are all that matter.
    moments = sorted(set(admitted))
    before = {moment: admitted.index(moment) for moment in moments}
    for place, first in enumerate(moments):
        for last in moments[place:]:
            end = before[last] + admitted.count(last)
            allowed = burst + rate * (last - first) / SECOND
            assert end - before[first] <= allowed + 1e-6
    if steps:
        assert admitted, "even the first request was refused"


@pytest.mark.parametrize("rate", [5, 100, 2_000, 50_000])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_client_within_its_rate_is_never_refused(tmp_path: Path, rate: int, workers: int) -> None:
    clock = Clock()
    limits = [Limits(tmp_path / "table", rate, clock=clock) for _ in range(workers)]
    refused = 0
    for place in range(20_000):
        clock.now += int(SECOND / (0.6 * rate))
        refused += not limits[place % workers].admit(SHOP)
    assert refused == 0


def test_a_refused_client_is_told_when_to_come_back(tmp_path: Path) -> None:
    clock = Clock()
    limits = Limits(tmp_path / "table", 0.5, 4, clock=clock)
    for _ in range(2):
        with limits.request_of(SHOP):
            pass

    with pytest.raises(ProblemError) as caught, limits.request_of(SHOP):
        pass

    headers = dict(caught.value.headers or {})
    assert caught.value.status_code == 429
    assert headers["Retry-After"] == "2"
    assert headers["RateLimit"] == '"requests";r=0;t=2'
    assert headers["RateLimit-Policy"] == '"requests";q=2;w=4'
    assert "MLOPS_ACCESS__REQUESTS_PER_SECOND" in caught.value.fix
    clock.now += 2 * SECOND
    assert limits.admit(SHOP)
    assert not limits.admit(SHOP)


def test_clients_do_not_use_up_each_others_share(tmp_path: Path) -> None:
    limits = Limits(tmp_path / "table", 1, clock=Clock())
    other = Client("other", frozenset())

    assert [limits.admit(SHOP), limits.admit(SHOP), limits.admit(other)] == [True, False, True]
    peers = ["10.0.0.1", "10.0.0.2", "10.0.0.1", "::ffff:10.0.0.2", "2001:db8::1", "2001:db8::2"]
    admitted = [limits.admit(ANYBODY, peer) for peer in peers]
    assert admitted == [True, True, False, False, True, False]


def test_clients_that_ask_in_turn_take_many_requests_at_once_from_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(tmp_path / "table", 1000, clock=Clock())
    other = Client("other", frozenset())
    takes: list[str] = []
    take = limits._table.take

    def counted(name: str, *given: int) -> tuple[int, int]:
        takes.append(name)
        return take(name, *given)

    monkeypatch.setattr(limits._table, "take", counted)

    assert all(limits.admit(SHOP) and limits.admit(other) for _ in range(900))
    assert len(takes) < 100


def test_what_is_given_back_can_be_used_again(tmp_path: Path) -> None:
    limits = Limits(tmp_path / "table", 1, clock=Clock())

    assert limits.admit(SHOP)
    limits.give_back(SHOP)

    assert [limits.admit(SHOP), limits.admit(SHOP)] == [True, False]


def test_what_is_given_back_too_late_was_used(tmp_path: Path) -> None:
    """A pace that looked slower would leave the client with fewer at once."""
    clock = Clock()
    left = []
    for given_back in (0, 5):
        file = tmp_path / f"table {given_back}"
        limits, elsewhere = (Limits(file, 1000, clock=clock) for _ in range(2))
        for _ in range(6):
            assert limits.admit(SHOP)
        clock.now += limits_module.BLOCK_LIFE + SECOND // 100
        for _ in range(given_back):
            limits.give_back(SHOP)
        assert limits.admit(SHOP)
        left.append(sum(elsewhere.admit(SHOP) for _ in range(1200)))

    assert left[0] == left[1]


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    limits = Limits(tmp_path / "table", 0, concurrent_requests=0)
    assert all(limits.admit(SHOP) and limits.enter(SHOP) for _ in range(10_000))


def test_a_restart_of_the_machine_shuts_nobody_out(tmp_path: Path) -> None:
    clock = Clock()
    assert Limits(tmp_path / "table", 1, 60, clock=clock).admit(SHOP)
    clock.now = 10**9  # counts from zero again
    again = Limits(tmp_path / "table", 1, 60, clock=clock)

    assert sum(again.admit(SHOP) for _ in range(100)) == 60


def test_more_clients_than_records_are_still_limited(tmp_path: Path) -> None:
    clock = Clock()
    limits = Limits(tmp_path / "table", 1, clock=clock)
    for place in range(RECORDS + 500):
        clock.now += SECOND // 10_000
        limits.admit(Client(f"c{place}", frozenset()))
    assert limits.admit(SHOP) or limits.retry_after(SHOP) <= 1
    assert not limits.admit(SHOP)


def test_only_a_client_whose_bucket_is_full_again_makes_room_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_table, "RECORDS", 2)
    clock = Clock()
    limits = Limits(tmp_path / "table", 1, concurrent_requests=1, clock=clock)
    other, late = Client("other", frozenset()), Client("late", frozenset())

    assert [limits.admit(SHOP), limits.admit(other)] == [True, True]
    assert [limits.admit(SHOP), limits.admit(other)] == [False, False]
    assert not limits.admit(late), "it shares a record that is used up"
    clock.now += SECOND
    assert limits.enter(SHOP)
    assert limits.admit(late)
    assert not limits.enter(SHOP), "a request under way is not forgotten"
    limits.leave(SHOP)
    assert limits.enter(SHOP)


def test_requests_under_way_are_counted_over_workers(tmp_path: Path) -> None:
    first = Limits(tmp_path / "table", 0, concurrent_requests=3)
    second = Limits(tmp_path / "table", 0, concurrent_requests=3)

    assert [first.enter(SHOP), second.enter(SHOP), second.enter(SHOP)] == [True] * 3
    assert not first.enter(SHOP)
    with pytest.raises(ProblemError) as caught, first.request_of(SHOP):
        pass
    assert caught.value.status_code == 429
    second.leave(SHOP)
    assert first.enter(SHOP)


HOLDER = """
import os, sys, time
from pathlib import Path
from goldpath.serving.access.roles import Client
from goldpath.serving.access.limits import Limits

limits = Limits(Path(sys.argv[1]), 0, concurrent_requests=2)
shop = Client("shop", frozenset())
print(limits.enter(shop), limits.enter(shop), flush=True)
time.sleep(600)
"""

ASKER = """
import json, sys, time
from pathlib import Path
from goldpath.serving.access.roles import Client
from goldpath.serving.access.limits import Limits

limits = Limits(Path(sys.argv[1]), 500, 0.5)
shop = Client("shop", frozenset())
print("ready", flush=True)
sys.stdin.readline()
started, admitted = time.monotonic(), 0
while time.monotonic() - started < 1.5:
    admitted += limits.admit(shop)
print(json.dumps([started, time.monotonic(), admitted]), flush=True)
"""


def started(program: str, file: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


@pytest.mark.slow
def test_a_killed_workers_requests_are_not_under_way_any_more(tmp_path: Path) -> None:
    limits = Limits(tmp_path / "table", 0, concurrent_requests=2)
    holder = started(HOLDER, tmp_path / "table")
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "True True\n"
        assert not limits.enter(SHOP)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()

    assert [limits.enter(SHOP), limits.enter(SHOP), limits.enter(SHOP)] == [True, True, False]
    in_its_place = Limits(tmp_path / "table", 0, concurrent_requests=2)
    assert not in_its_place.enter(SHOP), "the table is whole, and its counts stand"


@pytest.mark.slow
def test_the_limit_holds_over_processes_that_ask_as_fast_as_they_can(tmp_path: Path) -> None:
    askers = [started(ASKER, tmp_path / "table") for _ in range(2)]
    try:
        for asker in askers:
            assert asker.stdout is not None
            assert asker.stdout.readline() == "ready\n"
        for asker in askers:
            assert asker.stdin is not None
            asker.stdin.write("go\n")
            asker.stdin.flush()
        found = [json.loads(asker.communicate(timeout=60)[0]) for asker in askers]
    finally:
        for asker in askers:
            asker.kill()
            asker.communicate()

    seconds = max(end for _, end, _ in found) - min(begin for begin, _, _ in found)
    total = sum(admitted for _, _, admitted in found)
    assert total <= 250 + 500 * seconds + 1
    assert total >= 0.7 * 500 * 1.5, "the limit refuses what it should allow"


def test_a_folder_that_cannot_be_written_leaves_limits_of_each_worker(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    limits = Limits(tmp_path / "file" / "table", 1, clock=Clock())

    assert [limits.admit(SHOP), limits.admit(SHOP)] == [True, False]


def test_a_file_of_another_form_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "table").write_bytes(b"something else" * 1000)

    table = ClientTable(tmp_path / "table")

    assert table.is_shared
    assert table.take("shop", 5, SECOND, 3 * SECOND)[0] == 3


def test_guessing_passwords_is_slowed_down(tmp_path: Path) -> None:
    clock = Clock()
    limits = Limits(tmp_path / "table", 0, clock=clock)

    def tries(user: str, peer: str, count: int) -> int:
        refused: list[ProblemError] = []
        for _ in range(count):
            try:
                limits.refuse_guessing(user, peer)
            except ProblemError as problem:
                refused.append(problem)
        assert {problem.status_code for problem in refused} <= {429}
        assert all("Retry-After" in dict(problem.headers or {}) for problem in refused)
        return count - len(refused)

    assert tries("ana", "10.0.0.1", 10) == 5
    assert tries("ana", "10.0.0.2", 10) == 5, "a stranger elsewhere shuts nobody out"
    assert sum(tries(f"user{n}", "10.0.0.3", 5) for n in range(10)) == 20
    clock.now += 12 * SECOND
    assert tries("ana", "10.0.0.1", 3) == 1


def records_in_use(limits: Limits) -> int:
    table = limits._table
    return sum(
        any(table._map[place : place + 8])
        for place in range(client_table._HEADER, client_table._SIZE, client_table._RECORD)
    )


def test_invented_names_do_not_fill_the_table(tmp_path: Path) -> None:
    limits = Limits(tmp_path / "table", 0, clock=Clock())
    refused = 0
    for place in range(500):
        try:
            limits.refuse_guessing(f"user {place}", "203.0.113.9")
        except ProblemError:
            refused += 1

    assert refused == 480
    assert records_in_use(limits) <= 21


def test_a_full_table_keeps_no_count_of_requests_that_are_done(tmp_path: Path) -> None:
    """A request that shared a record must leave that one, though its client has its own by then."""
    clock = Clock()
    limits = Limits(tmp_path / "table", 1, concurrent_requests=1, clock=clock)
    others = [Client(f"c{place}", frozenset()) for place in range(3 * RECORDS)]
    late = [Client(f"late{place}", frozenset()) for place in range(40)]
    for client in others:
        limits.admit(client)

    entered = [client for client in late if limits.enter(client)]
    clock.now += 3600 * SECOND
    for client in others[:100]:
        limits.admit(client)
    for client in entered:
        limits.leave(client)
    clock.now += 3600 * SECOND

    assert entered
    assert not any(
        any(limits._table._map[place + 16 : place + client_table._RECORD])
        for place in range(client_table._HEADER, client_table._SIZE, client_table._RECORD)
    )
    assert not limits._entered
    limits.leave(SHOP)  # which never entered
    assert limits.enter(SHOP)


def test_messages_of_one_address_are_counted_apart_from_logins(tmp_path: Path) -> None:
    limits = Limits(tmp_path / "table", 0, clock=Clock())
    for _ in range(300):
        limits.refuse_flood("203.0.113.9")
    with pytest.raises(ProblemError):
        limits.refuse_flood("203.0.113.9")
    limits.refuse_flood("203.0.113.10")
    limits.refuse_guessing("ana", "203.0.113.9")


def headers_of(problem: pytest.ExceptionInfo[ProblemError]) -> dict[str, str]:
    return dict(problem.value.headers or {})


@pytest.mark.parametrize(
    ("rate", "burst_seconds", "policy"),
    [
        (0.5, 1, "q=1;w=2"),
        (1, 1, "q=1;w=1"),
        (10, 0.01, "q=1;w=1"),
        (4, 3, "q=12;w=3"),
        (10, 0.25, "q=2;w=1"),
        (200, 1, "q=200;w=1"),
        (200, 1.5, "q=300;w=2"),
    ],
)
def test_the_policy_that_is_told_is_what_a_quiet_client_has(
    rate: float, burst_seconds: float, policy: str
) -> None:
    limits = Limits(None, rate, burst_seconds, clock=Clock())
    assert limits._headers == {"RateLimit-Policy": f'"requests";{policy}'}
    count = sum(limits.admit(SHOP) for _ in range(400))
    promised = int(policy[2 : policy.index(";")])
    # What is taken in blocks may be used 50 ms late, and the bucket is smaller by as much.
    assert promised - max(0, rate * 0.05) <= count <= promised


@pytest.mark.parametrize(
    ("rate", "burst_seconds", "largest", "pause"),
    [
        (1, 1, 1, 0),
        (40, 1, 1, 0),
        (79, 1, 1, 0),
        (80, 1, 2, 10**6),
        (200, 1, 5, 10**6),
        (1000, 1, 25, 10**6),
        (1000, 0.1, 1, 0),
        (1000, 0.101, 12, 10**6),
        (1000, 0.16, 20, 10**6),
        (50_000, 1, 1250, 10**6),
    ],
)
def test_blocks_hold_what_is_used_in_25_milliseconds_at_most(
    rate: float, burst_seconds: float, largest: int, pause: int
) -> None:
    limits = Limits(None, rate, burst_seconds, clock=Clock())
    assert (limits._largest, limits._pause) == (largest, pause)
    burst = int(rate * burst_seconds) * int(SECOND / rate)
    assert limits._burst == burst - (SECOND // 20 if largest > 1 else 0)


def test_a_block_is_used_for_50_milliseconds_and_grows_with_its_client() -> None:
    clock = Clock()
    limits = Limits(None, 1000, clock=clock)
    takes: list[int] = []
    take = limits._table.take

    def noted(client: str, wanted: int, interval: int, burst: int) -> tuple[int, int]:
        takes.append(wanted)
        return take(client, wanted, interval, burst)

    limits._table.take = noted  # type: ignore[method-assign]
    for _ in range(40):
        assert limits.admit(SHOP)
    assert takes == [1, 5, 21, 25], "four times as many and one, up to the largest"
    clock.now += 50 * 10**6 - 1
    assert limits.admit(SHOP)
    assert len(takes) == 4, "there are some left"
    clock.now += 1
    assert limits.admit(SHOP)
    # 14 were used in 50 ms, so 7 in 25.
    assert takes[4:] == [7]
    clock.now += SECOND
    assert limits.admit(SHOP)
    assert takes[5:] == [1], "it was quiet"
    clock.now += SECOND - 1
    assert limits.admit(SHOP)
    assert takes[6:] == [1]


def test_a_refused_client_of_a_fast_limit_waits_a_millisecond_at_least() -> None:
    clock = Clock()
    limits = Limits(None, 10_000, 0.2, clock=clock)
    while limits.admit(SHOP):
        pass
    assert limits.retry_after(SHOP) == pytest.approx(0.001)
    takes: list[str] = []
    limits._table.take = lambda *_: takes.append("") or (1, 0)  # type: ignore[method-assign, func-returns-value]
    clock.now += 10**6 - 1
    assert not limits.admit(SHOP)
    assert takes == []
    clock.now += 1
    assert limits.admit(SHOP)
    clock.now += 5 * SECOND
    assert limits.retry_after(SHOP) == 0
    assert limits.retry_after(Client("nobody", frozenset())) == 0


def test_nothing_is_given_back_to_a_block_that_is_over() -> None:
    clock = Clock()
    limits = Limits(None, 1, clock=clock)
    limits.give_back(SHOP)
    assert limits.admit(SHOP)
    clock.now += SECOND // 20
    limits.give_back(SHOP)
    assert not limits.admit(SHOP)
    clock.now += SECOND
    assert limits.admit(SHOP)
    clock.now += SECOND // 20 - 1
    limits.give_back(SHOP)
    assert limits.admit(SHOP)
    unlimited = Limits(None, 0)
    unlimited.give_back(SHOP)
    assert unlimited._blocks == {}


def test_what_is_given_back_is_the_peers(tmp_path: Path) -> None:
    limits = Limits(None, 1, clock=Clock())
    assert limits.admit(ANYBODY, "10.0.0.1")
    assert limits.admit(SHOP, "10.0.0.1"), "who has a name is not counted by address"
    limits.give_back(ANYBODY, "10.0.0.1")
    assert not limits.admit(SHOP, "10.0.0.2")
    assert limits.admit(ANYBODY, "10.0.0.1")
    assert limits.admit(ANYBODY, "")
    assert not limits.admit(ANYBODY, "")


def test_blocks_of_many_clients_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "REMEMBERED", 300)
    limits = Limits(None, 1, clock=Clock())
    sizes = []
    for number in range(302):
        assert limits.admit(Client(f"client {number}", frozenset()))
        sizes.append(len(limits._blocks))
    assert sizes == [*range(1, 301), 1, 2]


def test_requests_under_way_are_told_apart_and_let_in_again() -> None:
    limits = Limits(None, 0, concurrent_requests=1)
    with limits.request_of(ANYBODY, "10.0.0.1"), limits.request_of(ANYBODY, "10.0.0.2"):
        with pytest.raises(ProblemError) as caught, limits.request_of(ANYBODY, "10.0.0.1"):
            pass
        assert headers_of(caught) == {"Retry-After": "1"}
        limits.leave(SHOP)
    assert limits._entered == {}
    with pytest.raises(ZeroDivisionError), limits.request_of(SHOP):
        raise ZeroDivisionError
    assert limits.enter(SHOP)
    assert not limits.enter(SHOP)
    unlimited = Limits(None, 0)
    assert unlimited.enter(SHOP)
    assert unlimited._entered == {}


def test_an_ipv6_host_is_its_network(tmp_path: Path) -> None:
    limits = Limits(tmp_path / "table", 1, clock=Clock())
    for peer, expected in (
        ("2001:db8:0:1::1", True),
        ("2001:db8:0:1:ffff::2", False),
        ("2001:db8:0:2::1", True),
        ("2001:db8:0:3::1", True),
        ("fe80::1%eth0", True),
        ("fe80::2%eth1", False),
        ("::ffff:10.0.0.9", True),
        ("10.0.0.9", False),
        ("no address", True),
        ("no address", False),
        ("no: address", True),
    ):
        assert limits.admit(ANYBODY, peer) is expected, peer


def test_a_guesser_is_told_when_to_come_back() -> None:
    clock = Clock()
    limits = Limits(None, 0, clock=clock)
    for _ in range(5):
        limits.refuse_guessing("ana", "10.0.0.1")
    clock.now += SECOND // 2
    with pytest.raises(ProblemError) as caught:
        limits.refuse_guessing("ana", "10.0.0.1")
    assert caught.value.fix == "wait 12 seconds"
    assert headers_of(caught) == {"Retry-After": "12", "RateLimit": '"tries";r=0;t=12'}
    clock.now += 11 * SECOND + SECOND // 2
    limits.refuse_guessing("ana", "10.0.0.1")
    clock.now += 12 * SECOND - 10**6
    with pytest.raises(ProblemError) as caught:
        limits.refuse_guessing("ana", "10.0.0.1")
    assert headers_of(caught)["Retry-After"] == "1", "never none"


def test_a_flood_is_one_message_a_fifth_of_a_second() -> None:
    clock = Clock()
    limits = Limits(None, 0, clock=clock)
    for _ in range(300):
        limits.refuse_flood("10.0.0.1")
    clock.now += SECOND // 5 - 1
    with pytest.raises(ProblemError, match="too many messages"):
        limits.refuse_flood("10.0.0.1")
    clock.now += 1
    limits.refuse_flood("10.0.0.1")


def test_who_is_refused_never_waits_for_no_time() -> None:
    waits = {0.0: "1", 0.5: "1", 1.0: "1", 1.01: "2"}
    for seconds, said in waits.items():
        assert limits_module._waiting(seconds, "t=") == {
            "Retry-After": said,
            "RateLimit": f"t={said}",
        }


def test_guesses_of_one_address_are_twenty_and_one_in_three_seconds() -> None:
    clock = Clock()
    limits = Limits(None, 0, clock=clock)
    for number in range(20):
        limits.refuse_guessing(f"user {number}", "10.0.0.1")
    clock.now += 3 * SECOND - 1
    with pytest.raises(ProblemError):
        limits.refuse_guessing("late", "10.0.0.1")
    clock.now += 1
    limits.refuse_guessing("late", "10.0.0.1")


def test_guesses_of_one_user_are_one_in_twelve_seconds() -> None:
    clock = Clock()
    limits = Limits(None, 0, clock=clock)
    for _ in range(5):
        limits.refuse_guessing("ana", "10.0.0.1")
    clock.now += 12 * SECOND - 1
    with pytest.raises(ProblemError):
        limits.refuse_guessing("ana", "10.0.0.1")
    clock.now += 1
    limits.refuse_guessing("ana", "10.0.0.1")
