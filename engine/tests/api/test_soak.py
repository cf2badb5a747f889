"""Everything at once, under load: swaps, kills of workers, rotation, compaction, limits.

A quarter of a minute by default, five minutes in `make test-soak`; `MLOPS_SOAK_SECONDS=1800` makes
it half an hour.
"""

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from goldpath.jobs.promotion.traffic import direct_traffic
from goldpath.jobs.upkeep.log_compaction import compact_logs
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import served_table
from goldpath.registry.mlflow_manager import CHAMPION
from goldpath.registry.traffic_plan import TrafficPlan
from goldpath.serving.prediction_log import read_log
from goldpath.settings import load_settings

from ..counts import times
from ..registry_projects import add_version, make_registry
from .examples import contract_of, fitted, random_rows
from .raw_http import SilentServerError, Wire
from .running_service import running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.soak,
    pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc"),
]

SECONDS = float(os.environ.get("MLOPS_SOAK_SECONDS", times(15, 300)))
CLIENTS = 6
BATCH = 20
RATE = 250
VERSIONS = ("1", "2", "3")
MOST_MEGABYTES = 200
ROWS = random_rows(contract_of("binary"), 60, seed=12)


@dataclass
class Account:
    """What the clients saw; each has its own, so that none waits for another."""

    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    answered: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    cut: int = 0


class Client(threading.Thread):
    """Asks over one connection after the other, and checks every answer."""

    def __init__(self, port: int, seed: int, scores: dict[str, list[float]]) -> None:
        super().__init__()
        self.port, self.scores, self.account = port, scores, Account()
        self.dice = random.Random(seed)
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                with Wire(self.port, patience=30) as wire:
                    while not self.stop.is_set() and self.ask(wire):
                        pass
            except OSError:  # a killed worker cuts its connections
                self.account.cut += 1
                time.sleep(0.02)
            except SilentServerError:
                self.account.wrong.append("no answer within 30 seconds")

    def ask(self, wire: Wire) -> bool:
        """One request; False where the connection was cut instead of an answer."""
        chosen = [self.dice.randrange(len(ROWS))]
        path = b"/predict"
        if self.dice.random() < 0.2:
            chosen = [self.dice.randrange(len(ROWS)) for _ in range(BATCH)]
            path = b"/predict/batch"
        rows = [ROWS[number] for number in chosen]
        content = {"features": rows[0]} if path == b"/predict" else {"instances": rows}
        body = json.dumps(content, ensure_ascii=self.dice.random() < 0.5).encode()
        wire.send(
            b"POST %b HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (path, len(body), body)
        )
        answer = wire.answer()
        if answer is None:
            self.account.cut += 1
            return False
        self.account.statuses[answer.status] += 1
        if answer.status == 429:
            time.sleep(min(0.2, float(answer.headers.get("retry-after", "0"))))
        if answer.status != 200:
            return True
        found = answer.json()
        version = found["model_version"]
        items = found.get("predictions", [found])
        self.account.versions[version] += 1
        for number, item in zip(chosen, items, strict=True):
            self.account.answered.append(item["prediction_id"])
            if abs(item["probabilities"]["yes"] - self.scores[version][number]) > 1e-9:
                self.account.wrong.append(f"version {version}, row {number}: {item}")
        return True


def test_nothing_is_wrong_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    manager = make_registry(tmp_path)
    for seed in VERSIONS:
        add_version(manager, seed=seed)
    manager.set_alias(CHAMPION, "1")
    direct_traffic(manager, "3", TrafficPlan(0.3, shadow=True))
    scores = {
        version: fitted("binary", version, "linear").predict(ROWS).scores for version in VERSIONS
    }
    settings, contract = load_settings(tmp_path), contract_of("binary")
    wanted = {
        "MLOPS_PREDICTION_LOG__SEGMENT_MB": "0.2",
        "MLOPS_PREDICTION_LOG__SEGMENT_SECONDS": "2",
        "MLOPS_SERVING__REFRESH_SECONDS": "0.3",
        "MLOPS_SERVING__WORKERS": "2",
        "MLOPS_ACCESS__REQUESTS_PER_SECOND": str(RATE),
        "MLOPS_ACCESS__BURST_SECONDS": "1",
    }
    kills = swaps = compacted = 0
    memory: list[int] = []
    with running(tmp_path, "--production", **wanted) as service:
        clients = [Client(service.port, seed, scores) for seed in range(CLIENTS)]
        started = time.monotonic()
        for client in clients:
            client.start()
        try:
            turn = 0
            while time.monotonic() < started + SECONDS:
                time.sleep(1)
                turn += 1
                if turn % 2 == 0:
                    swaps += 1
                    manager.set_alias(CHAMPION, VERSIONS[swaps % 2])
                if turn % 5 == 0 and (alive := service.workers()):
                    os.kill(alive[turn % len(alive)], signal.SIGKILL)
                    kills += 1
                if turn % 6 == 0:
                    compacted += compact_logs(settings, contract).segments
            memory = [_resident(process) for process in service.workers()]
        finally:
            took = time.monotonic() - started
            for client in clients:
                client.stop.set()
            for client in clients:
                client.join(60)
                assert not client.is_alive()
    accounts = [client.account for client in clients]
    statuses: Counter[int] = sum((each.statuses for each in accounts), Counter())
    versions: Counter[str] = sum((each.versions for each in accounts), Counter())
    answered = [name for each in accounts for name in each.answered]
    assert [line for each in accounts for line in each.wrong] == []
    assert statuses.keys() <= {200, 429, 503}, statuses
    assert statuses[200] > 20 * took, "there was hardly any load"
    assert statuses[429] > 0, "nobody met the limit"
    assert statuses[200] <= RATE * (took + 1), "the limit did not hold across the workers"
    assert min(versions[version] for version in VERSIONS) > 0, versions
    assert min(kills, swaps, compacted) > 0
    # A worker that starts again waits for its model, five seconds at most.
    assert statuses[503] <= statuses[200] / 50
    assert max(memory) < MOST_MEGABYTES * 2**20

    assert len(answered) == len(set(answered))
    live = {row["prediction_id"] for row in read_log(tmp_path / "logs/predictions", 10_000_000)}
    lakehouse = open_lakehouse(settings)
    table = lakehouse.read(served_table(contract)).select("prediction_id")
    kept = lakehouse.collect(table)["prediction_id"].to_pylist()
    assert len(kept) == len(set(kept))
    assert set(answered) - live - set(kept) == set(), "answered, and not logged"
    print(
        f"{took:.0f} s: {dict(statuses)}, versions {dict(versions)}, {kills} kills, {swaps} swaps,"
        f" {compacted} segments compacted, {sum(each.cut for each in accounts)} connections cut"
    )


def _resident(process: int) -> int:
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0
