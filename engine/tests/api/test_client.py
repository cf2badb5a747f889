"""The Python client against a real service, and against a proxy that fails."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from goldpath.client import (
    Client,
    NotAllowedError,
    RefusedError,
    Retries,
    TooManyRequestsError,
    UnavailableError,
)

from ..ports import free_port
from .examples import contract_of, fitted, random_rows
from .flaky_proxy import FlakyProxy, refusal
from .running_service import RunningService, project_with_champion, running

pytestmark = pytest.mark.slow

CONTRACT = contract_of("binary")
ROWS = random_rows(CONTRACT, 60, seed=21)
QUICK = Retries(first_wait=0.01, longest_wait=0.05)
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("client")
    project_with_champion(root)
    return root


@pytest.fixture(scope="module")
def service(root: Path) -> Iterator[RunningService]:
    with running(root, MLOPS_SERVING__MAXIMUM_BATCH_ROWS="20") as service:
        yield service


def command(root: Path, *words: str, given: str = "") -> dict[str, Any]:
    """The JSON of one of the project's commands."""
    environment = {**os.environ, "MLOPS_ROOT": str(root)}
    done = subprocess.run(
        [sys.executable, "-m", "goldpath", *words, "--json"],
        input=given,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_predictions_are_the_models(service: RunningService) -> None:
    expected = fitted("binary").predict(ROWS)
    assert expected.probabilities is not None
    with Client(service.url) as client:
        one = client.predict(ROWS[0])
        many = list(client.predict_many(iter(ROWS)))
        model = client.model()

    assert (one.prediction, one.model_name, one.model_version) == (many[0].prediction, "small", "1")
    assert [each.prediction for each in many] == expected.values
    for each, probabilities in zip(many, expected.probabilities.tolist(), strict=True):
        assert each.probabilities is not None
        assert list(each.probabilities.values()) == pytest.approx(probabilities, abs=1e-12)
    assert len({each.prediction_id for each in [one, *many]}) == 61
    assert model["model_version"] == "1"


def test_batches_that_are_too_large_are_halved(service: RunningService) -> None:
    with Client(service.url, rows_per_request=60) as client:
        assert len(list(client.predict_many(ROWS))) == 60  # the service takes 20 rows at most


def test_rows_are_taken_as_they_are_needed(service: RunningService) -> None:
    taken = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for row in ROWS * 20:
            taken += 1
            yield row

    with Client(service.url, rows_per_request=5, connections=2) as client:
        found = client.predict_many(rows())
        next(found)
        assert taken <= 30
        assert 1 + sum(1 for _ in found) == 1200
        assert list(client.predict_many([])) == []


def test_an_explanation_and_feedback(service: RunningService) -> None:
    with Client(service.url) as client:
        prediction = client.predict(ROWS[1])
        explained = client.explain(ROWS[1])
        client.feedback(prediction.prediction_id, "yes")

    assert explained.prediction == prediction.prediction
    total = sum(each.contribution for each in explained.contributions)
    assert total == pytest.approx(explained.value - explained.baseline, abs=1e-9)


def test_a_refusal_names_the_field_and_the_fix(service: RunningService) -> None:
    with Client(service.url) as client, pytest.raises(RefusedError) as caught:
        client.predict({**ROWS[0], "class": 5000})

    problem = caught.value.problem
    assert problem is not None
    assert problem.status == 422
    assert problem.errors[0].field == "features.class"
    assert "1000" in problem.errors[0].fix
    assert "features.class" in str(caught.value)


def test_one_wrong_row_among_many_is_not_tried_again(service: RunningService) -> None:
    rows = [*ROWS[:7], {**ROWS[7], "class": "x"}, *ROWS[8:]]
    with FlakyProxy(service.port, []) as proxy, Client(proxy.url, rows_per_request=20) as client:
        with pytest.raises(RefusedError, match=r"instances\.7\.class"):
            list(client.predict_many(rows))
        assert proxy.requests <= 3


@pytest.mark.parametrize(
    "faults",
    [
        ["drop"],
        ["cut"],
        ["drop", "cut", "drop"],
        [refusal(503)],
        [refusal(502, "Connection: close"), refusal(504)],
        [refusal(429), "cut", refusal(503, "Retry-After: nonsense")],
    ],
)
def test_faults_that_pass_are_waited_out(service: RunningService, faults: list[Any]) -> None:
    expected = fitted("binary").predict(ROWS[:1]).values[0]
    with FlakyProxy(service.port, faults) as proxy, Client(proxy.url, retries=QUICK) as client:
        assert client.predict(ROWS[0]).prediction == expected
        assert proxy.requests == len(faults) + 1


def test_many_rows_through_a_proxy_that_fails_every_third_time(service: RunningService) -> None:
    faults: list[str | bytes] = ["ok", "drop", "ok", refusal(503), "ok", "cut"] * 30
    with (
        FlakyProxy(service.port, faults) as proxy,
        Client(proxy.url, retries=QUICK, rows_per_request=3) as client,
    ):
        found = [each.prediction for each in client.predict_many(ROWS)]
    assert found == fitted("binary").predict(ROWS).values


@pytest.mark.parametrize(
    "when",
    [lambda: "1", lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)],
)
def test_retry_after_is_waited_for(service: RunningService, when: Callable[[], str]) -> None:
    fault = refusal(503, f"Retry-After: {when()}")
    started = time.monotonic()
    with FlakyProxy(service.port, [fault]) as proxy, Client(proxy.url, retries=QUICK) as client:
        client.predict(ROWS[0])
    assert 0.95 < time.monotonic() - started < 10


def test_what_asks_for_more_patience_than_there_is_ends_at_once(service: RunningService) -> None:
    retries = Retries(total=5)
    faults = [refusal(429, "Retry-After: 3600")]
    started = time.monotonic()
    with (
        FlakyProxy(service.port, faults) as proxy,
        Client(proxy.url, retries=retries) as client,
        pytest.raises(TooManyRequestsError) as caught,
    ):
        client.predict(ROWS[0])
    assert time.monotonic() - started < 4
    assert caught.value.problem is not None
    assert "busy" in caught.value.problem.detail


def test_attempts_are_bounded(service: RunningService) -> None:
    with (
        FlakyProxy(service.port, ["drop"] * 20) as proxy,
        Client(proxy.url, retries=QUICK) as client,
    ):
        with pytest.raises(UnavailableError):
            client.predict(ROWS[0])
        assert proxy.requests == QUICK.attempts


def test_nobody_there_is_one_clear_error() -> None:
    with (
        Client(f"http://127.0.0.1:{free_port()}", retries=QUICK) as client,
        pytest.raises(UnavailableError, match="5 times"),
    ):
        client.predict(ROWS[0])


def test_a_connection_that_was_closed_while_idle_costs_no_attempt(service: RunningService) -> None:
    with (
        FlakyProxy(service.port, []) as proxy,
        Client(proxy.url, retries=Retries(attempts=1)) as client,
    ):
        for _ in range(3):
            client.predict(ROWS[0])
            proxy.drop_all()


def test_threads_share_a_client_and_its_connections(service: RunningService) -> None:
    with Client(service.url) as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(client.predict, ROWS * 5))
    assert [each.prediction for each in found] == fitted("binary").predict(ROWS).values * 5


def test_keys_and_logins(root: Path) -> None:
    key = command(root, "api-key", "create", "shop", "--role", "predict")["key"]
    command(root, "user", "add", "ada", "--role", "predict", given=f"{PASSWORD}\n")
    with running(root, MLOPS_ACCESS__REQUIRE_CREDENTIAL="true") as service:
        expected = fitted("binary").predict(ROWS[:1]).values[0]
        with Client(service.url, api_key=key) as client:
            assert client.predict(ROWS[0]).prediction == expected
        with Client(service.url, username="ada", password=PASSWORD) as client:
            assert client.predict(ROWS[0]).prediction == expected
            client._token = "a.token.of-yesterday"  # refused; the client logs in again
            assert client.predict(ROWS[0]).prediction == expected
        for strangers in (
            Client(service.url, api_key="x"),
            Client(service.url, username="ada", password="wrong password"),
            Client(service.url),
        ):
            with strangers, pytest.raises(NotAllowedError):
                strangers.predict(ROWS[0])


def test_the_client_needs_the_standard_library_only() -> None:
    script = (
        "import sys; import goldpath.client; "
        "print([n for n in sys.modules if n.partition('.')[0] in "
        "('httpx', 'requests', 'pydantic', 'fastapi', 'numpy', 'yaml', 'typer', 'msgspec')])"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
