"""Other people's files: adopt, data, train, serve, ask; no code is edited."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import TEMPLATE, BakedProject, Record
from processes import foreground, free_ports, nothing_left_behind, wait_for

SHARED_DATA = Path(os.environ.get("MLOPS_SHARED_DATA", TEMPLATE.parent / "shared" / "data"))
# A model must not lose to what a data scientist would try first.
SHARE_OF_BASELINE = 0.99


@dataclass(frozen=True)
class Case:
    """A public file, how a user would adopt it, and what adopt must say about it."""

    file: str
    arguments: tuple[str, ...]
    problem: str
    metric: str
    said: tuple[str, ...]


CASES = [
    Case(
        "telco_customer_churn.csv",
        ("TARGET=Churn", "ID=customerID"),
        "classification",
        "roc_auc",
        ("TotalCharges", "customerID"),
    ),
    Case(
        "bike_sharing_hourly.csv",
        ("TARGET=cnt", "TIME=dteday+hr"),
        "regression",
        "r2",
        ("casual", "registered"),
    ),
    Case("california_housing.csv", ("TARGET=median_house_value",), "regression", "r2", ()),
]

# Run by the project's Python: the plain model on the very rows that the project split off.
PLAIN_MODEL = Path(__file__).with_name("plain_model.py")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file.removesuffix(".csv"))
def test_a_public_file_gives_a_served_model_as_good_as_the_plain_one(
    workbench: BakedProject, case: Case, tmp_path: Path, record_property: Record
) -> None:
    file = SHARED_DATA / case.file
    if not file.is_file():
        pytest.skip(f"{case.file} is not there; name its folder: MLOPS_SHARED_DATA")
    ports = free_ports()
    adopted = workbench.make("adopt", f"DATA={file}", *case.arguments)
    assert all(word in adopted.output for word in case.said), adopted.output
    workbench.make("data")
    workbench.make("train-local")
    training = json.loads(workbench.read("reports/training.json"))
    assert (training["problem_type"], training["metric"]) == (case.problem, case.metric)

    plain = workbench.run(".venv/bin/python", "-W", "ignore", PLAIN_MODEL)
    assert plain.code == 0, plain.output
    baseline = json.loads(plain.output)
    scores = f"{case.metric} {training['value']:.4f}, plain model {baseline['score']:.4f}"
    record_property("figure", f"{case.file}: {scores}")
    assert training["n_test"] == baseline["rows"]
    assert training["value"] >= SHARE_OF_BASELINE * baseline["score"]

    log = tmp_path / "server.log"
    environment = {**workbench.environment, **ports}
    url = f"http://127.0.0.1:{ports['MLOPS_SERVING__PORT']}"
    with (
        nothing_left_behind(workbench.root, ports),
        foreground(["make", "serve"], workbench.root, environment, log) as server,
    ):
        wait_for(f"{url}/ready", server, log)
        body = json.dumps({"features": baseline["row"]})
        header = "Content-Type: application/json"
        asked = workbench.run("curl", "-sS", f"{url}/predict", "-H", header, "-d", body)
    answer = json.loads(asked.output)
    assert answer["model_version"] == training["model_version"]
    if case.problem == "classification":
        assert answer["prediction"] in ("No", "Yes")
    else:
        assert isinstance(answer["prediction"], float)
