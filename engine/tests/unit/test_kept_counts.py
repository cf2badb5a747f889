"""Counts that are kept without a lock say what prometheus_client's own would have said."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from goldpath.contract import parse_contract
from goldpath.serving.metrics.kept_counts import MULTIPROCESS_FOLDER, KeptCounts
from goldpath.serving.metrics.service import Metrics

BOUNDS = (0.001, 0.01, 1.0)
TIMES = st.lists(st.sampled_from((0.0, *BOUNDS)) | st.floats(0, 2), max_size=30)
VERSIONS, ROUTES = 500, 60
CONTRACT = parse_contract(
    "dataset: counted\nproblem: classification\nsource: {path: counted.csv}\n"
    'target: {column: churned, classes: ["no", "yes"]}\n'
    "features: [{name: amount, type: number}]\n"
)
WORKER = f"""
import os, signal
from pathlib import Path
from goldpath.contract import parse_contract
from goldpath.serving.metrics.service import Metrics

contract = parse_contract('''
dataset: counted
problem: classification
source: {{path: counted.csv}}
target: {{column: churned, classes: ["no", "yes"]}}
features:
  - {{name: amount, type: number}}
''')
metrics, other = Metrics(contract, Path("none")), Metrics(contract, Path("none"))
second = other.prediction_counters("first")["yes"]
first = metrics.prediction_counters("first")["yes"]
timer = metrics.request_timer("/predict")
third = other.prediction_counters("others")["yes"]
timers = [metrics.request_timer(f"/route/{{number}}") for number in range({ROUTES})]
for version in range({VERSIONS}):  # more than the file holds at first
    metrics.prediction_counters(str(version))["no"](2)
for _ in range(10):
    first(1)
    timer(0.0004)
    metrics.request_answered("/predict", "POST", 200, 0.0004)  # as the app counts its answers
second(5)
third(7)
for each in timers:
    each(9.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def series() -> tuple[CollectorRegistry, Counter, Histogram]:
    registry = CollectorRegistry()
    counter = Counter("answers", "Answers.", registry=registry)
    histogram = Histogram("seconds", "Time.", buckets=BOUNDS, registry=registry)
    return registry, counter, histogram


def shown(registry: MultiProcessCollector | CollectorRegistry) -> dict[str, float]:
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(parts=st.lists(TIMES, max_size=4))
def test_the_series_show_what_their_own_methods_would_have_counted(
    parts: Sequence[Sequence[float]],
) -> None:
    kept, (registry, counter, histogram) = KeptCounts(), series()
    expected, own_counter, own_histogram = series()
    timer, count = kept.timer(counter, histogram), kept.counter(counter)

    for part in parts:
        for took in part:
            timer(took)
            count(3)
            counter.inc(2)
            own_counter.inc(6)
            own_histogram.observe(took)
        kept.hand_over()
        assert shown(registry) == pytest.approx(shown(expected))

    kept.hand_over()
    assert shown(registry) == pytest.approx(shown(expected))


def test_what_is_asked_for_twice_is_one_series() -> None:
    kept, (registry, counter, _) = KeptCounts(), series()

    kept.counter(counter)(1)
    kept.hand_over()
    kept.counter(counter)(1)
    kept.hand_over()

    assert shown(registry)["answers_total[]"] == 2


def test_a_service_shows_what_was_counted_of_each_of_its_models(tmp_path: Path) -> None:
    main = Metrics(CONTRACT, tmp_path)
    further = Metrics(CONTRACT, tmp_path, model="revenue", prefix="/models/revenue")
    main.beside.append(further)
    for each, answers in ((main, 3), (further, 2)):
        count = each.prediction_counters("1")["yes"]
        for _ in range(answers):
            count(1)

    text = main.render().decode()

    assert 'ml_predictions_total{model_version="1",prediction="yes"} 3.0' in text
    labels = 'model="revenue",model_version="1",prediction="yes"'
    assert f"ml_predictions_total{{{labels}}} 2.0" in text


def test_several_killed_workers_have_lost_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, MULTIPROCESS_FOLDER: str(tmp_path)}
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", WORKER], env=environment, check=False)
        assert ended.returncode == -signal.SIGKILL

    sums = shown(MultiProcessCollector(None, str(tmp_path)))  # type: ignore[no-untyped-call]

    versions = {
        name: value for name, value in sums.items() if name.startswith("ml_predictions_total")
    }
    first = "ml_predictions_total[('model_version', 'first'), ('prediction', 'yes')]"
    assert versions.pop(first) == 2 * (10 + 5)
    assert versions.pop(first.replace("first", "others")) == 2 * 7
    slow = [f"ml_request_seconds_sum[('route', '/route/{each}')]" for each in range(ROUTES)]
    assert [sums[each] for each in slow] == [2 * 9.0] * ROUTES
    assert sums["ml_request_seconds_bucket[('le', '+Inf'), ('route', '/route/59')]"] == 2
    assert len([each for each in versions.values() if each == 2 * 2]) == VERSIONS
    answered = "[('method', 'POST'), ('route', '/predict'), ('status', '200')]"
    assert sums[f"ml_requests_total{answered}"] == 2 * (10 + 10)
    for le, expected in (("0.00025", 0), ("0.0005", 40), ("+Inf", 40)):
        assert sums[f"ml_request_seconds_bucket[('le', '{le}'), ('route', '/predict')]"] == expected
    assert sums["ml_request_seconds_sum[('route', '/predict')]"] == pytest.approx(40 * 0.0004)
