"""The model registry tutorial of our field, step by step, through our classes and a real server.

Every example of the tutorial is here, in its order, and passes or is replaced:

| tutorial | here |
|---|---|
| `log_model(registered_model_name=)` | `MLflowManager.register`, which signs |
| `client.create_registered_model(description=)` | `describe_model` |
| `get_latest_versions(name)[0]` | `newest_version()`: the highest number, which that call is not |
| `update_model_version(description=)` | `describe` |
| `set_model_version_tag` | `annotate` |
| `transition_model_version_stage` | `transition_stage(version, stage, archive_existing=)` |
| `models:/name/Production` | `load_version("Production")`; MLflow's: `models:/name@champion` |
| `models:/name/2` | `load_version("2")`, and MLflow's own |
| `search_registered_models`, `search_model_versions` | `search_models`, `search_versions` |
| comparison in a loop | `compare_versions` |
| `delete_model_version`, `delete_registered_model` | `delete_version`, `delete_model` |
| `rename_registered_model` | `rename` |
| `create_model_version_tag` (never existed) | `annotate` |
| `registry-webhooks/create` (Databricks only) | `create_webhook`, with MLflow's event names |
| the script with thresholds 0.80 and 0.75 | `search_versions`, `run_record`, `transition_stage` |
| `mlflow models serve --no-conda` | `mlflow models serve --env-manager local` |
| Azure ML, `mlflow.sagemaker.deploy` (removed) | not here; `copy` moves versions elsewhere |
| GitHub Actions: train, then promote | `train --promote`, or the DAG `ml_training_pipeline` |

And the other guide's `ModelRegistry`: `register_model`, `create_version` and `promote_version` are
`describe_model`, `register` and `transition_stage`; its validator and version manager are in
`test_validation_tutorial.py`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from pydantic import SecretStr

from goldpath.learning.frames import model_frame
from goldpath.registry.mlflow_manager import CHALLENGER, MLflowManager, RegistryError
from goldpath.registry.stages import stage_of
from goldpath.registry.stores.rest import RestStore
from goldpath.registry.webhooks.announcement import verify_message
from goldpath.services.webhook_relay import WebhookRelay
from goldpath.settings import RegistrySettings
from goldpath.trust.audit import verify

from ..mlflow_servers import MlflowServer
from ..ports import free_port
from ..registry_projects import CONTRACT, EXAMPLE, add_version, make_registry, scores
from ..unit.test_announcement import Receiver

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("registry"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

SECRET = "a secret that both sides know"
WAIT_SECONDS = 60.0


@pytest.fixture
def manager(
    registry_server: MlflowServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> MLflowManager:
    """A registered model of this test's own on the shared server."""
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    return make_registry(tmp_path, registry_server.url, f"churn_{request.node.name}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server
        server.shutdown()


def test_concepts(manager: MLflowManager) -> None:
    """Registered model, model versions, and a first transition."""
    manager.describe_model("Modelo para predição de churn de clientes")
    versions = [add_version(manager, seed=seed).version for seed in ("1", "2", "3")]
    assert versions == ["1", "2", "3"]

    manager.transition_stage("2", "Production")

    assert isinstance(manager.store, RestStore)
    assert [stage_of(version) for version in manager.versions()] == ["None", "Production", "None"]
    model = manager.registered_model()
    assert model is not None
    assert model.description == "Modelo para predição de churn de clientes"


def test_workflow(manager: MLflowManager) -> None:
    """Steps 1 to 4: train and register, metadata, validate and promote, use in production."""
    for number in range(1, 12):  # more than nine, where sorting as text goes wrong
        last = add_version(manager, metrics={"accuracy": 0.85}, seed=str(number))

    newest = manager.newest_version()
    assert newest is not None
    assert newest.version == last.version == "11"
    manager.describe(newest.version, "Random Forest com 100 árvores. Accuracy: 85%.")
    manager.annotate(newest.version, {"validation_status": "pending", "framework": "sklearn"})

    manager.transition_stage(newest.version, "Staging", archive_existing=False)
    assert manager.find("Staging").version == "11"
    manager.transition_stage("10", "Production")
    manager.transition_stage(newest.version, "Production", archive_existing=True)
    manager.annotate(newest.version, {"validation_status": "approved"})

    assert stage_of(manager.version("10")) == "Archived"
    found = manager.find("Production")
    assert (found.version, found.description) == (
        "11",
        "Random Forest com 100 árvores. Accuracy: 85%.",
    )
    assert found.tags["validation_status"] == "approved"
    assert scores(manager, "Production") == scores(manager, "11")


def test_search_and_comparison(manager: MLflowManager) -> None:
    manager.describe_model("prediz churn")
    add_version(manager, metrics={"accuracy": 0.81, "f1_score": 0.77})
    add_version(manager, metrics={"accuracy": 0.86, "f1_score": 0.79}, seed="2")
    manager.transition_stage("2", "Staging")

    assert manager.model_name in {model.name for model in manager.search_models("CHURN")}
    assert [item.version for item in manager.search_versions(stage="Staging")] == ["2"]
    assert len(manager.search_versions()) == 2
    differences = {row.name: row.difference for row in manager.compare_versions("1", "2").rows}
    assert differences["accuracy"] == "+0.05"
    assert differences["f1_score"] == "+0.02"
    assert differences["stage"] == "differs"


def test_loading_by_stage_version_and_latest(manager: MLflowManager) -> None:
    import mlflow

    for seed in ("1", "2", "3"):
        add_version(manager, seed=seed)
    manager.transition_stage("1", "Production")
    manager.transition_stage("2", "Staging")
    newest = manager.newest_version()
    assert newest is not None

    assert scores(manager, "Production") == scores(manager, "1")
    assert scores(manager, "Staging") == scores(manager, "2")
    assert scores(manager, newest.version) == scores(manager, "3")
    # MLflow's own loader reads the same files, by number and by alias.
    mlflow.set_tracking_uri(manager.settings.tracking_uri)
    frame = model_frame(EXAMPLE, CONTRACT)
    labels = manager.load_version("1").predict(EXAMPLE).values
    for reference in ("/1", "@champion"):
        loaded = mlflow.pyfunc.load_model(f"models:/{manager.model_name}{reference}")
        assert [
            CONTRACT.target.classes[CONTRACT.target.classes.index(v)] for v in loaded.predict(frame)
        ] == labels


def test_deleting_and_renaming(manager: MLflowManager) -> None:
    for seed in ("1", "2"):
        add_version(manager, seed=seed)
    manager.delete_version("1")
    assert [version.version for version in manager.versions()] == ["2"]

    before, name = manager.model_name, f"{manager.model_name}_v2"
    manager.rename(name)
    assert manager.named(before).registered_model() is None
    assert len(scores(manager, "2")) == len(EXAMPLE)

    manager.set_champion("2")
    with pytest.raises(RegistryError, match="has aliases"):
        manager.delete_model()
    manager.delete_model(force=True)
    assert manager.registered_model() is None
    assert verify(manager.settings).intact


def test_two_versions_in_production_for_an_ab_test(manager: MLflowManager) -> None:
    for seed in ("1", "2"):
        add_version(manager, seed=seed)
    manager.transition_stage("1", "Production")

    manager.transition_stage("2", "Production", archive_existing=False)

    assert [stage_of(version) for version in manager.versions()] == ["Production", "Production"]
    assert manager.find("Production").version == "1"
    challenger = manager.version_by_alias(CHALLENGER)
    assert challenger is not None
    assert challenger.version == "2"
    assert scores(manager, "1") != scores(manager, "2")


@pytest.mark.parametrize(
    ("accuracy", "f1_score", "promoted"),
    [(0.80, 0.75, True), (0.79, 0.9, False), (0.9, 0.74, False)],
)
def test_promotion_script_with_thresholds(
    manager: MLflowManager, accuracy: float, f1_score: float, promoted: bool
) -> None:
    """`scripts/promote_model.py`; `promote` with its gate is what the project itself uses."""
    add_version(manager, metrics={"accuracy": accuracy, "f1_score": f1_score})

    candidate = manager.search_versions(stage="None")[0]
    run = manager.run_record(candidate)
    assert run is not None
    if run.metrics["accuracy"] >= 0.80 and run.metrics["f1_score"] >= 0.75:
        manager.transition_stage(candidate.version, "Staging")
        manager.transition_stage(candidate.version, "Production", archive_existing=True)

    assert (manager.champion_version() is not None) == promoted


def test_webhook_arrives_and_is_verified(manager: MLflowManager, receiver: Receiver) -> None:
    """MLflow tells of alias moves; there is no event of a stage in MLflow's open version."""
    webhook = manager.create_webhook(
        manager.model_name.replace("[", "").replace("]", ""),
        receiver.url,
        ["model_version_alias.created"],
        SECRET,
    )
    try:
        assert manager.try_webhook(webhook.webhook_id).success
        assert webhook.webhook_id in {item.webhook_id for item in manager.webhooks()}
        add_version(manager)
        manager.annotate("1", {"notify_on_production": "team@example.com"})
        manager.transition_stage("1", "Production")
        wait_for(receiver, manager.model_name)
    finally:
        manager.delete_webhook(webhook.webhook_id)

    assert manager.version("1").tags["notify_on_production"] == "team@example.com"
    headers, body = receiver.received[-1]
    verify_message(headers, body, SECRET)
    assert json.loads(body)["data"]["alias"] == "champion"
    with pytest.raises(Exception, match="signature is wrong"):
        verify_message(headers, body + b" ", SECRET)


def test_relay_turns_mlflows_messages_into_slacks(
    manager: MLflowManager, receiver: Receiver
) -> None:
    registry = RegistrySettings(
        webhook_url=SecretStr(receiver.url),
        webhook_secret=SecretStr(SECRET),
        webhook_format="slack",
    )
    settings = manager.settings.model_copy(update={"registry": registry})
    import threading

    with WebhookRelay(settings) as relay:
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        webhook = manager.create_webhook(
            "relay", relay.url, ["model_version_alias.created"], SECRET
        )
        try:
            add_version(manager)
            manager.set_champion("1")
            wait_for(receiver, manager.model_name)
            with pytest.raises(URLError, match="401"):
                urlopen(Request(relay.url, b"{}", method="POST"))
        finally:
            manager.delete_webhook(webhook.webhook_id)
            relay.shutdown()

    headers, body = receiver.received[-1]
    verify_message(headers, body, SECRET)
    text = json.loads(body)["text"]
    assert f"{manager.model_name} version 1: model_version_alias.created as champion" in text


def test_served_model_scores(manager: MLflowManager, tmp_path: Path) -> None:
    """`mlflow models serve`, then `POST /invocations` with `dataframe_split`."""
    add_version(manager)
    manager.transition_stage("1", "Production")
    port, log = free_port(), tmp_path / "serve.log"
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve"),
        *("-m", f"models:/{manager.model_name}@champion"),
        *("-p", str(port), "-h", "127.0.0.1", "--env-manager", "local", "--workers", "1"),
    ]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": manager.settings.tracking_uri,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        frame = model_frame(EXAMPLE, CONTRACT)
        split = json.loads(frame.to_json(orient="split"))
        body = json.dumps({"dataframe_split": {k: split[k] for k in ("columns", "data")}}).encode()
        answer = ask(f"http://127.0.0.1:{port}/invocations", body, process, log)
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=60)

    assert answer["predictions"] == manager.load_version("1").predict(EXAMPLE).values


def test_good_practices(manager: MLflowManager) -> None:
    """A long description, organisational tags, and the workflow of stages to its end."""
    for seed in ("1", "2"):
        add_version(manager, seed=seed)
    text = (
        "Random Forest Classifier.\n\n**Performance:**\n- Accuracy: 87.5%\n- Aprovador: João Silva"
    )
    manager.describe("1", text)
    tags = {"team": "data-science", "approved_by": "joao.silva@empresa.com"}
    manager.annotate("1", tags)
    for stage in ("Staging", "Production"):
        manager.transition_stage("1", stage)
    manager.transition_stage("2", "Production")
    manager.archive("1")

    version = manager.version("1")
    assert version.description == text
    assert {key: version.tags[key] for key in tags} == tags
    assert stage_of(version) == "Archived"
    assert [item.version for item in manager.search_versions({"team": "data-science"})] == ["1"]
    with pytest.raises(RegistryError, match="is the champion and cannot go to Archived"):
        manager.archive("2")


def test_the_other_guides_registry(manager: MLflowManager) -> None:
    """`register_model`, `create_version` with metrics, features and target, `promote_version`."""
    manager.describe_model("Modelo para avaliação imobiliária", {"algorithm": "LinearModel"})
    made = add_version(manager, {"semantic_version": "1.0.0"}, {"r2_score": 0.85, "mae": 45000})

    manager.transition_stage(made.version, "Production")

    version = manager.find("1.0.0")
    assert stage_of(version) == "Production"
    run = manager.run_record(version)
    assert run is not None
    assert dict(run.metrics) == {"r2_score": 0.85, "mae": 45000}
    loaded = manager.load(version)
    assert loaded.contract.feature_names == CONTRACT.feature_names
    assert loaded.contract.target == CONTRACT.target
    # The guide's checksum: of every file, and signed.
    assert manager.verify_signature(version).digest == version.tags["model_digest"]
    model = manager.registered_model()
    assert model is not None
    assert (model.description, model.tags["algorithm"]) == (
        "Modelo para avaliação imobiliária",
        "LinearModel",
    )


def wait_for(receiver: Receiver, text: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if any(text.encode() in body for _, body in receiver.received):
            return
        time.sleep(0.1)
    raise AssertionError(f"no message about {text}: {receiver.received}")


def ask(
    url: str, body: bytes, process: "subprocess.Popen[bytes]", log: Path
) -> "dict[str, object]":
    deadline = time.monotonic() + 2 * WAIT_SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        request = Request(url, body, {"Content-Type": "application/json"}, method="POST")
        try:
            with urlopen(request, timeout=30) as response:
                answer: dict[str, object] = json.load(response)
                return answer
        except HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        except URLError:
            time.sleep(0.5)
