"""The registry from the first version to the last, on the project's own SQLite file."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from goldpath.jobs.promotion.registry_audit import champion_at, verify_audit
from goldpath.jobs.promotion.rollback import rollback
from goldpath.registry.mlflow_manager import CHALLENGER, CHAMPION, MLflowManager, RegistryError
from goldpath.registry.stores.mlflow import MlflowStore
from goldpath.registry.stores.open_store import open_store
from goldpath.registry.stores.sqlite import SqliteStore
from goldpath.trust.audit import history, verify
from goldpath.trust.signing import SignatureError

from ..registry_projects import CONTRACT, add_version, make_registry, scores

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MLflowManager:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    return make_registry(tmp_path)


def actions(manager: MLflowManager) -> list[str]:
    return [record.action for record in history(manager.settings)]


def test_version_is_found_by_every_name_it_has(manager: MLflowManager) -> None:
    assert manager.newest_version() is None
    for number in range(1, 11):
        add_version(manager, {"semantic_version": f"1.{number}.0", "run_key": f"key-{number}"})
    manager.set_champion("2")
    manager.transition_stage("3", "Staging")

    newest = manager.newest_version()
    assert newest is not None
    assert newest.version == "10"
    for reference, version in {
        "7": "7",
        "champion": "2",
        "@champion": "2",
        "staging": "3",
        "Staging": "3",
        "Production": "2",
        "1.4.0": "4",
    }.items():
        assert manager.find(reference).version == version
    assert manager.version_of_run_key("key-6") == manager.version("6")
    for unknown in ("11", "challenger", "9.9.9", "Archived"):
        with pytest.raises(RegistryError, match="has no version"):
            manager.find(unknown)


def test_light_reading_says_what_mlflow_says(manager: MLflowManager) -> None:
    add_version(manager, {"team": "a"}, {"accuracy": 0.5, "odd": float("nan")})
    add_version(manager, seed="2")
    manager.set_champion("1")
    manager.describe("1", "the first one")
    manager.describe_model("predicts churn", {"owner": "us"})
    uri = manager.settings.tracking_uri
    light, full = open_store(manager.settings), MlflowStore(uri)

    assert isinstance(light, SqliteStore)
    assert light.models() == full.models()
    assert light.model("small") == full.model("small")
    assert light.versions("small") == full.versions("small")
    assert light.version("small", "2") == full.version("small", "2")
    assert light.version_by_alias("small", CHAMPION) == full.version_by_alias("small", CHAMPION)
    run_id = light.versions("small")[0].run_id
    assert repr(light.run(run_id)) == repr(full.run(run_id))  # NaN is not equal to itself
    for store in (light, full):
        assert store.model("nothing") is None
        assert store.version("small", "9") is None
        assert store.version_by_alias("small", "nobody") is None
        assert store.run("0" * 32) is None
        with pytest.raises(RegistryError):
            store.set_alias("small", CHAMPION, "9")
    full.client.delete_model_version("small", "2")
    assert light.versions("small") == full.versions("small")


def test_unknown_schema_goes_through_mlflow(manager: MLflowManager) -> None:
    add_version(manager)
    file = manager.settings.tracking_uri.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'newer'")

    assert type(open_store(manager.settings)) is MlflowStore


def test_two_versions_are_compared_fact_by_fact(manager: MLflowManager) -> None:
    add_version(manager, {"gold_snapshot": "11"}, {"accuracy": 0.80})
    add_version(manager, {"gold_snapshot": "12"}, {"accuracy": 0.85}, seed="2")
    manager.set_champion("1")

    found = manager.compare_versions("champion", "2")

    rows = {(row.kind, row.name): row for row in found.rows}
    assert rows["metric", "accuracy"].difference == "+0.05"
    assert rows["data", "gold_snapshot"].second == "12"
    assert rows["parameter", "family"].difference == ""
    assert rows["parameter", "seed"].first == "1"
    assert rows["version", "stage"].first == "Production"
    assert {"accuracy", "gold_snapshot", "seed", "stage"} <= set(found.different)


def test_deletion_is_refused_while_an_alias_points_at_it(manager: MLflowManager) -> None:
    for seed in ("1", "2", "3"):
        add_version(manager, seed=seed)
    manager.set_champion("2")

    with pytest.raises(RegistryError, match="version 2 of small is champion"):
        manager.delete_version("2")
    with pytest.raises(RegistryError, match="has aliases"):
        manager.delete_model()
    manager.delete_version("1")
    manager.delete_version("2", force=True)

    assert [version.version for version in manager.versions()] == ["3"]
    assert manager.champion_version() is None
    assert verify_audit(manager.settings, CONTRACT).intact
    manager.delete_model(force=True)
    assert manager.registered_model() is None
    assert actions(manager)[-4:] == ["deleted", "alias removed", "deleted", "deleted"]
    assert verify(manager.settings).intact


def test_renamed_model_still_loads_and_keeps_its_aliases(manager: MLflowManager) -> None:
    add_version(manager)
    add_version(manager, seed="2")
    manager.set_champion("1")
    before = scores(manager, "champion")

    manager.rename("customer_churn_model_v2")

    assert manager.model_name == "customer_churn_model_v2"
    assert scores(manager, "champion") == before
    assert scores(manager, "2") != before
    assert manager.named("small").registered_model() is None
    # What happened under the former name still belongs to it.
    contract = CONTRACT.model_copy(update={"dataset": "customer_churn_model_v2"})
    manager.set_champion("2")
    assert verify_audit(manager.settings, contract).intact
    assert rollback(manager.settings, contract).model_version == "1"
    assert champion_at(manager.settings, contract, datetime.now(UTC)).version == "1"


def test_copy_in_the_same_registry_is_signed_for_its_new_name(manager: MLflowManager) -> None:
    development = manager.named("dev.churn")
    add_version(development, {"stage": "Production"})
    production = manager.named("prod.churn")

    copied = development.copy("1", production)

    assert development.copy("1", production).version == copied.version == "1"
    assert scores(production, "1") == scores(development, "1")
    assert production.signature(copied).subject == "prod.churn"
    assert copied.tags["copied_from"] == "dev.churn/1"
    assert "stage" not in copied.tags
    development.delete_model()
    assert len(scores(production, "1")) == 50


def test_copy_to_another_registry_takes_run_and_files_along(
    manager: MLflowManager, tmp_path: Path
) -> None:
    add_version(manager, {"run_key": "nightly"}, {"accuracy": 0.9})
    other = manager.at(f"sqlite:///{tmp_path / 'elsewhere' / 'mlflow.db'}").named("prod.churn")

    copied = manager.copy("1", other)

    assert manager.copy("1", other).version == copied.version
    assert scores(other, "1") == scores(manager, "1")
    run = other.run_record(copied)
    assert run is not None
    assert dict(run.metrics) == {"accuracy": 0.9}
    assert run.parameters["family"] == "linear"
    assert run.run_id != manager.version("1").run_id


def test_garbage_collection_spares_runs_behind_versions(manager: MLflowManager) -> None:
    version = add_version(manager)
    with manager.run("parent", {}) as parent:
        pass
    with manager.run("forgotten", {}) as forgotten:
        manager.log_text(forgotten, "nothing", "note.txt")
    manager.client.set_tag(version.run_id, "mlflow.parentRunId", parent)
    for run_id in (version.run_id, parent, forgotten):
        manager.client.delete_run(run_id)

    found = manager.garbage()
    assert found.purgeable == (forgotten,)
    assert found.kept[version.run_id] == "small version 1"
    assert manager.garbage(older_than_days=1).purgeable == ()
    done = manager.collect_garbage()

    assert done.purged
    assert manager.store.run(forgotten) is None
    assert len(scores(manager, "1")) == 50


def test_second_registration_of_a_run_finds_the_first(manager: MLflowManager) -> None:
    first = add_version(manager, {"run_key": "tonight"})

    again = add_version(manager, {"run_key": "tonight"})

    assert again.version == first.version
    assert len(manager.versions()) == 1
    assert actions(manager) == ["registered"]


def test_lost_answer_leaves_one_version(
    manager: MLflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow makes the version and dies before it answers; the registration finds what it made."""
    store = manager.store
    create = type(store).create_version

    def dies_after(self: Any, *arguments: Any) -> object:
        create(self, *arguments)
        raise RegistryError("the connection was reset")

    monkeypatch.setattr(type(store), "create_version", dies_after)

    version = add_version(manager)

    assert [item.version for item in manager.versions()] == [version.version]
    assert len(scores(manager, version.version)) == 50


def test_files_that_were_changed_after_signing_are_not_loaded(manager: MLflowManager) -> None:
    version = add_version(manager)
    assert manager.verify_signature(version).subject == "small"
    folder = manager.settings.root / "mlflow" / "artifacts"
    (file,) = folder.rglob("MLmodel")
    file.write_text(file.read_text() + "\n# changed\n")

    with pytest.raises(SignatureError, match="MLmodel was altered after it was signed"):
        manager.load(version)


def test_contract_cannot_be_swapped(manager: MLflowManager) -> None:
    version = add_version(manager)
    manager.log_text(version.run_id, "dataset: other\n", "contract.yaml")

    with pytest.raises(SignatureError, match=r"contract\.yaml was altered"):
        manager.load(version)


def test_moves_behind_the_audits_back_are_shown(manager: MLflowManager) -> None:
    for seed in ("1", "2", "3"):
        add_version(manager, seed=seed)
    manager.set_champion("1")
    manager.set_alias(CHALLENGER, "2")
    assert verify_audit(manager.settings, CONTRACT).intact
    client = manager.client
    client.set_registered_model_alias("small", CHAMPION, "3")
    client.set_registered_model_alias("small", "secret", "3")
    client.delete_model_version("small", "2")
    run_id = manager.version("1").run_id
    client.create_model_version("small", f"runs:/{run_id}/model", run_id)

    report = verify_audit(manager.settings, CONTRACT)

    assert not report.intact
    assert report.problems == ()
    found = "\n".join(report.differences)
    assert "the alias champion of small points at version 3; the last record" in found
    assert "the alias challenger of small is gone" in found
    assert "the alias secret of small points at version 3, and no record says" in found
    assert "version 2 is gone, and no record says who deleted it" in found
    assert "version 4 was registered, and no record says by whom" in found


def test_log_that_was_cut_short_is_found_by_mlflow(manager: MLflowManager) -> None:
    add_version(manager)
    add_version(manager, seed="2")
    manager.set_champion("1")
    audit = manager.settings.root / "audit"
    copies = {file.name: file.read_bytes() for file in audit.iterdir()}
    manager.set_champion("2")
    for name, content in copies.items():  # log and head as they were before: consistent
        (audit / name).write_bytes(content)

    report = verify_audit(manager.settings, CONTRACT)

    assert "the log ends at record 3; MLflow's tag on small names record 4" in report.problems
    assert "champion of small points at version 2" in report.differences[0]
