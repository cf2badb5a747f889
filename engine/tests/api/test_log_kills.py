"""Workers are killed again and again under load: whatever was answered is in the log."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from goldpath.jobs.upkeep.log_compaction import compact_logs
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import served_table
from goldpath.serving.log.segments import segments
from goldpath.serving.prediction_log import read_log
from goldpath.serving.schemas import example_features
from goldpath.settings import load_settings

from ..counts import times
from .examples import contract_of
from .running_service import project_with_champion, running

pytestmark = [pytest.mark.slow, pytest.mark.soak]

KILLS = times(6, 20)
ASKERS = 4
ROW = example_features(contract_of("binary"))


class Askers:
    """Clients that ask without a pause, and note the id of every prediction they were answered."""

    def __init__(self, url: str) -> None:
        self.answered: list[str] = []
        self.strange: list[str] = []
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(ASKERS)]

    def __enter__(self) -> "Askers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        while not self._stop.is_set():
            # A killed worker cuts the connection; the next one is another worker's.
            with contextlib.suppress(httpx.TransportError), httpx.Client(timeout=30) as client:
                while not self._stop.is_set():
                    self._note(client, number)

    def _note(self, client: httpx.Client, number: int) -> None:
        if number % 2:
            answer = client.post(f"{self._url}/predict", json={"features": ROW})
        else:
            answer = client.post(f"{self._url}/predict/batch", json={"instances": [ROW] * 3})
        if answer.status_code == 200:
            found = answer.json()
            self.answered += [item["prediction_id"] for item in found.get("predictions", [found])]
        elif answer.status_code != 503:  # a new worker has no model for a moment
            self.strange.append(answer.text)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_kills_cost_no_answered_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project_with_champion(tmp_path, family="linear")
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    settings, contract = load_settings(tmp_path), contract_of("binary")
    folder = tmp_path / settings.serving.prediction_log
    kills = moved = 0
    rotation = {
        "MLOPS_PREDICTION_LOG__SEGMENT_MB": "0.05",
        "MLOPS_PREDICTION_LOG__SEGMENT_SECONDS": "2",
    }
    with running(tmp_path, "--production", **rotation) as service, Askers(service.url) as asked:
        deadline = time.monotonic() + 300
        while kills < KILLS:
            assert time.monotonic() < deadline
            before = len(asked.answered)
            while len(asked.answered) < before + 20 and time.monotonic() < deadline:
                time.sleep(0.01)
            alive = service.workers()
            if alive:
                os.kill(alive[kills % len(alive)], signal.SIGKILL)
                kills += 1
            if kills in (KILLS // 3, 2 * KILLS // 3):
                moved += compact_logs(settings, contract).segments
        service.process.kill()  # and at last the supervisor
    assert asked.strange == []
    assert len(asked.answered) == len(set(asked.answered)) >= KILLS * 20
    assert moved > 0

    live = {row["prediction_id"] for row in read_log(folder, 10_000_000)}
    lakehouse = open_lakehouse(settings)
    table = lakehouse.read(served_table(contract)).select("prediction_id")
    in_lake = set(lakehouse.collect(table)["prediction_id"].to_pylist())
    assert set(asked.answered) - live - in_lake == set()

    compact_logs(settings, contract)
    rows = lakehouse.collect(lakehouse.read(served_table(contract)))["prediction_id"].to_pylist()
    assert len(rows) == len(set(rows))
    assert set(asked.answered) <= set(rows)
    # A killed worker had at most one request of each client that it did not answer.
    assert len(rows) - len(asked.answered) <= (KILLS + 1) * ASKERS * 3
    assert segments(folder) == []
