"""One server of the serving benchmark, from its start to its stop: checked, loaded, checked."""

import http.client
import json
import re
import shutil
import statistics
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving_peers import LIMIT, Peer, Place, Route, Rows
from serving_processes import Server, busy_seconds, free_port

HERE = Path(__file__).resolve().parent
START_SECONDS, ANSWER_SECONDS = 180.0, 60.0
TOLERANCE = 1e-6
IN_A_ROW = 60
SINGLE_ROWS, MANY_ROWS = 64, 1000
CASES = {"single_8": (8, False), "single_32": (32, False), "many_4": (4, True)}
"""Connections, and whether a request holds many rows."""
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


class PeerError(Exception):
    """A server does not start, or answers what is wrong."""


@dataclass(frozen=True)
class Truth:
    """Rows, and what scikit-learn answers to them."""

    rows: Rows
    answers: Sequence[float]


@dataclass
class Slot:
    """What was measured of a server in one round.

    Attributes:
        start_seconds: From the command to the first right answer.
        memory_mib: Proportional set size after the load.
        largest_difference: Of a checked answer from scikit-learn's.
        cases: By case: requests a second, latencies, and the server's processor time a request.
        error: Why there is no more.
    """

    peer: str
    round: int
    workers: int
    start_seconds: float | None = None
    memory_mib: float | None = None
    largest_difference: float = 0.0
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Load:
    """The load generator, and how long it runs."""

    program: Path
    seconds: float
    warm_up_seconds: float


def build_load(folder: Path) -> Path:
    """Compile the load generator.

    Raises:
        PeerError: Where there is no C compiler.
    """
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), "")
    if not compiler:
        raise PeerError("the load generator needs a C compiler: install cc, gcc or clang")
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "serving_load"
    flags = ["-D_GNU_SOURCE", "-O2", "-std=c11", "-Wall", "-Wextra"]
    subprocess.run([compiler, *flags, "-o", str(program), str(HERE / "serving_load.c")], check=True)
    return program


def read_truth(place: Place) -> Truth:
    """What `serving_project.py` has written."""
    model = place.folder / "model"
    rows, answers = (
        json.loads((model / name).read_text(encoding="utf-8"))
        for name in ("rows.json", "answers.json")
    )
    return Truth(rows, answers)


def measure(
    place: Place, peer: Peer, load: Load, truth: Truth, number: int, workers: int = 1
) -> Slot:
    """Start a server, measure it, and stop it; what goes wrong is in the slot's `error`."""
    slot = Slot(peer.name, number, workers)
    port = free_port()
    command = peer.command(place, port, workers)
    variables = peer.variables(place, port, workers)
    began = time.monotonic()
    try:
        server = Server(command, variables, place.folder / "logs" / f"{peer.name}.log")
    except OSError as error:
        slot.error = f"cannot be started: {error}"
        return slot
    try:
        first = _Question(peer, peer.single, truth, [0])
        _wait_for(server, first, port)
        slot.start_seconds = round(time.monotonic() - began, 2)
        if workers > 1:
            _wait_for_all(server, first, port)
        _measure_cases(place, peer, server, port, load, truth, slot)
        slot.memory_mib = round(server.memory_mib(), 1)
    except (PeerError, OSError, ValueError, http.client.HTTPException) as error:
        slot.error = f"{error} (the log ends: {server.tail()})"
    finally:
        server.stop()
    return slot


def measured_in_turn(
    rounds: int, names: tuple[str, str], measure_one: Callable[[str, int], Slot]
) -> list[Slot]:
    """Two servers in rounds, of which every second one runs backwards.

    Raises:
        PeerError: Where one of them cannot be measured.
    """
    slots: list[Slot] = []
    for number in range(rounds):
        for name in reversed(names) if number % 2 else names:
            slots.append(measure_one(name, number))
            if slots[-1].error:
                raise PeerError(f"{name}: {slots[-1].error}")
    return slots


def paired_cases(slots: Sequence[Slot], base: str, other: str) -> dict[str, Any]:
    """For each case the median over the rounds of other's rate by base's, and both rates."""
    rounds = range(max(slot.round for slot in slots) + 1)
    cases: dict[str, Any] = {}
    for case in CASES:
        rates = {
            (slot.round, slot.peer): slot.cases[case]["per_second"]
            for slot in slots
            if case in slot.cases
        }
        if not rates:
            continue
        ratios = [rates[number, other] / rates[number, base] for number in rounds]
        cases[case] = {
            "ratio": round(statistics.median(ratios), 3),
            **{
                name: round(statistics.median(rates[number, name] for number in rounds))
                for name in (base, other)
            },
        }
    return cases


def _measure_cases(
    place: Place, peer: Peer, server: Server, port: int, load: Load, truth: Truth, slot: Slot
) -> None:
    questions = {False: [_Question(peer, peer.single, truth, [at]) for at in range(SINGLE_ROWS)]}
    if peer.many is not None:
        every = list(range(MANY_ROWS))
        turned = [every[shift:] + every[:shift] for shift in (0, MANY_ROWS // 2)]
        questions[True] = [_Question(peer, peer.many, truth, order) for order in turned]
    for case, (connections, is_many) in CASES.items():
        # Memory is compared under one row at a time, as two workers share them.
        if is_many not in questions or (slot.workers > 1 and case != "single_32"):
            continue
        asked = questions[is_many]
        slot.largest_difference = max(slot.largest_difference, *(q.check(port) for q in asked))
        slot.cases[case] = _run(place, server, port, load, connections, asked)
        slot.largest_difference = max(slot.largest_difference, *(q.check(port) for q in asked))


def _run(
    place: Place,
    server: Server,
    port: int,
    load: Load,
    connections: int,
    asked: "Sequence[_Question]",
) -> dict[str, Any]:
    file = place.folder / "requests.bin"
    with file.open("wb") as requests:
        for question in asked:
            for part in (question.raw(port), question.wanted):
                requests.write(struct.pack("=I", len(part)) + part)
    before, busy_before = server.cpu_seconds(), busy_seconds()
    began = time.monotonic()
    arguments = [port, connections, load.warm_up_seconds, load.seconds, file]
    done = subprocess.run(
        [str(load.program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=load.seconds + load.warm_up_seconds + 60,
        check=False,
    )
    if done.returncode:
        raise PeerError(f"the load generator failed: {done.stderr.strip()}")
    took = time.monotonic() - began
    spent = server.cpu_seconds() - before
    found: dict[str, Any] = json.loads(done.stdout)
    elsewhere = busy_seconds() - busy_before - spent - found["load_cpu_seconds"]
    found["cores_used_elsewhere"] = round(max(0.0, elsewhere) / took, 2)
    for name in ("wrong_status", "wrong_body", "unanswered"):
        if found[name]:
            raise PeerError(f"{name}: {found[name]} of {found['served']}: {found['first_wrong']}")
    if not found["served"] or found["broken"] > found["served"] / 100:
        raise PeerError(f"{found['broken']} broken connections, {found['served']} answers")
    found["cpu_us"] = round(spent / found["served"] * 1e6, 1)
    del found["first_wrong"]
    return found


class _Question:
    """A request, and the answer that is right.

    Attributes:
        wanted: Text of a right answer, from the first check on: the last row's probability.
    """

    def __init__(self, peer: Peer, route: Route, truth: Truth, places: Sequence[int]) -> None:
        self._route = route
        self._expected = [] if peer.kind == LIMIT else [truth.answers[at] for at in places]
        body = route.body([truth.rows[at] for at in places])
        self._body = json.dumps(body, separators=(",", ":")).encode()
        self._headers = {"Content-Type": "application/json", **peer.headers}
        self.wanted = b""

    def raw(self, port: int) -> bytes:
        """The request as it goes over the wire."""
        headers = {**self._headers, "Host": f"127.0.0.1:{port}", "Content-Length": len(self._body)}
        lines = [f"POST {self._route.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self._body

    def check(self, port: int) -> float:
        """Ask once; the largest difference from scikit-learn.

        Raises:
            PeerError: Where the answer is not 200, or wrong.
        """
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        try:
            connection.request("POST", self._route.path, self._body, self._headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status != 200:
            text = content.decode(errors="replace")[:300]
            raise PeerError(f"{self._route.path} answered {response.status}: {text}")
        try:
            found = self._route.read(json.loads(content))
        except (LookupError, TypeError, ValueError) as error:
            text = content.decode(errors="replace")[:300]
            raise PeerError(f"{self._route.path} answered another form: {text}") from error
        if len(found) != len(self._expected):
            raise PeerError(f"{len(found)} answers to {len(self._expected)} rows")
        pairs = zip(found, self._expected, strict=True)
        difference = max((abs(one - other) for one, other in pairs), default=0.0)
        if not difference <= TOLERANCE:
            raise PeerError(f"an answer differs from scikit-learn's by {difference:.3g}")
        if self._expected:
            right = self._expected[-1]
            texts = [text for text in _NUMBER.findall(content) if abs(float(text) - right) < 1e-9]
            self.wanted = texts[-1] if texts else b""
        return difference


def _wait_for(server: Server, question: _Question, port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            question.check(port)
        except (PeerError, OSError, http.client.HTTPException) as error:
            if server.ended:
                raise PeerError("it ended while it was starting") from error
            if time.monotonic() > until:
                raise PeerError(f"no right answer within {START_SECONDS:.0f} s: {error}") from error
            time.sleep(0.02)
        else:
            return


def _wait_for_all(server: Server, question: _Question, port: int) -> None:
    """Until every worker answers: the kernel chooses one for each new connection."""
    until = time.monotonic() + START_SECONDS
    right = 0
    while right < IN_A_ROW:
        if server.ended or time.monotonic() > until:
            raise PeerError("not all of its workers answer")
        try:
            question.check(port)
            right += 1
        except (PeerError, OSError, http.client.HTTPException):
            right = 0
            time.sleep(0.1)
