"""What counting costs a request: the lane's counts beside prometheus_client's own.

Each answer is counted, timed and counted by what was predicted, in the service's own series. The
same series are counted by `Counter.inc` and `Histogram.observe` in the same process, the two by
turns; once for a service of one process, once for one of several workers, whose figures lie in
files. Both must show the same figures in the end. Drift profiles cost a request nothing: they are
made from the prediction log. Figures are CPU time.

    python benchmarks/counting.py
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "counting.json"
REQUESTS, ROUNDS, MOST_MICROSECONDS = 200_000, 7, 0.5
SECONDS = (0.00003, 0.0004, 0.0012, 0.03)
CONTRACT = """
dataset: counted
problem: classification
source: {path: counted.csv}
target: {column: churned, classes: ["no", "yes"]}
features:
  - {name: amount, type: number}
"""


def main() -> int:
    """Print the figures and write the result; 1 where a promise is broken."""
    if sys.argv[1:] == ["--measure"]:
        print(json.dumps(_measure()))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        variable = "PROMETHEUS_MULTIPROC_DIR"
        alone = {name: value for name, value in os.environ.items() if name != variable}
        found = {
            "one process": _run(alone),
            "several workers": _run({**alone, variable: folder}),
        }
    for name, each in found.items():
        print(
            f"{name}: {each['kept']:.2f} µs a request, prometheus_client {each['client']:.2f} "
            f"(goal {MOST_MICROSECONDS})"
        )
    ratios = {name: round(each["client"] / each["kept"], 2) for name, each in found.items()}
    result = {
        "name": "counting",
        "ratio": min(ratios.values()),
        "unit": "prometheus_client's CPU time of a request's counts / the lane's, the lesser",
        "n": REQUESTS * ROUNDS,
        "details": {
            "microseconds": found,
            "ratios": ratios,
            "most_microseconds": MOST_MICROSECONDS,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return int(any(each["kept"] > MOST_MICROSECONDS for each in found.values()))


def _run(environment: dict[str, str]) -> dict[str, float]:
    """Measure in a process of its own: how it counts is settled when it imports the client."""
    command = [sys.executable, __file__, "--measure"]
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return dict(json.loads(told.stdout))


def _measure() -> dict[str, float]:
    kept, client = _metrics(), _metrics()
    ways = {
        "kept": (kept.request_timer("/predict"), kept.prediction_counters("1")["yes"]),
        "client": (_timer_of(client), client._of(client._predictions, "1", "yes").inc),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (timer, counter) in ways.items():
            spent[name].append(_spent(timer, counter))
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        _require_sum(kept, 2)  # the figures of both lie in one folder
    else:
        _require_sum(kept, 1)
        _require_sum(client, 1)
    return {name: round(1e6 * statistics.median(each), 3) for name, each in spent.items()}


def _metrics() -> Any:
    from goldpath.contract import parse_contract
    from goldpath.serving.metrics.service import Metrics

    return Metrics(parse_contract(CONTRACT), Path("no-reports"))


def _timer_of(metrics: Any) -> Callable[[float], None]:
    """What the lane called for each answer before it kept counts itself."""
    answered = metrics._of(metrics._requests, "/predict", "POST", "200")
    seconds = metrics._of(metrics._seconds, "/predict")

    def count(took: float) -> None:
        answered.inc()
        seconds.observe(took)

    return count


def _spent(timer: Callable[[float], None], counter: Callable[[float], None]) -> float:
    """CPU seconds a request, those of the loop among them."""
    began = time.process_time()
    for _ in range(REQUESTS // len(SECONDS)):
        for seconds in SECONDS:
            timer(seconds)
            counter(1)
    return (time.process_time() - began) / REQUESTS


def _require_sum(metrics: Any, counted: int) -> None:
    """Stop where the figures that Prometheus would read are not those that were counted."""
    expected = float(counted * REQUESTS * ROUNDS)
    registry = metrics.registry()
    shown = {
        sample.name: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.value and sample.labels.get("le", "0.5") == "0.5"
    }
    for name in ("ml_requests_total", "ml_predictions_total", "ml_request_seconds_bucket"):
        if shown.get(name) != expected:
            raise SystemExit(f"Error: {name} is {shown.get(name)}, not {expected}")


if __name__ == "__main__":
    sys.exit(main())
