"""From the file to the predictions table, on a real lake and a real registry."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract, Feature, load_contract
from goldpath.drift.stored_reference import read_reference
from goldpath.errors import CheckFailedError
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.promotion.promote import promote
from goldpath.jobs.training.stages import train
from goldpath.lake.gold_frame import read_gold
from goldpath.lake.lakehouse import TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.lake.tables import gold_table, predictions_table
from goldpath.registry.layout import PROFILE_FILE, REFERENCE_FILE
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.sample.customers import write_sample
from goldpath.serving.api import create_app, create_service
from goldpath.serving.predictor import Predictor
from goldpath.serving.schemas import example_features
from goldpath.settings import Settings, load_settings

from ..api.conftest import until
from ..api.examples import TestClient
from ..conftest import Trained
from ..ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trained")]


def table(settings: Settings, name: TableName) -> pa.Table:
    lakehouse = LocalLakehouse(settings)
    return lakehouse.collect(lakehouse.read(name))


def test_every_bronze_row_is_accounted_for(trained: Trained) -> None:
    data = trained.data
    assert data.bronze_rows == data.silver_rows + data.quarantined_rows + data.duplicate_rows
    assert (data.silver_rows, data.quarantined_rows) == (3000, 12)
    assert sum(data.quarantine_reasons.values()) == 12


def test_correction_replaces_the_outdated_row(trained: Trained) -> None:
    gold = table(trained.settings, gold_table(trained.contract))
    satisfaction = gold["satisfaction"].to_pylist()
    # Outdated lines all say 0.00; a few true customers do too, at most a handful in 3000.
    lines = pd.read_csv(trained.settings.root / trained.contract.source.path, dtype=str)
    outdated = (lines["satisfaction"] == "0.00").sum()
    assert satisfaction.count(0.0) <= outdated - 10


def test_refreshing_again_changes_nothing(trained: Trained) -> None:
    again = refresh(trained.settings, trained.contract)
    assert again == replace(trained.data, new_batches=0, recomputed=())


def test_model_beats_the_baseline_and_stays_below_the_ceiling(trained: Trained) -> None:
    result = trained.candidate
    assert result.noise_ceiling is not None
    assert result.baseline == 0.5
    assert result.interval[0] > 0.7
    assert result.value < result.noise_ceiling + 0.02


def test_training_report_has_the_promised_fields(trained: Trained) -> None:
    report = json.loads((trained.settings.reports / "training.json").read_text())
    promised = {"problem_type", "metric", "value", "interval", "baseline", "n_train", "n_test"}
    promised.add("model_version")
    assert promised <= set(report)
    assert report["n_train"] + report["n_test"] == 3000
    assert (trained.settings.reports / "evaluation.png").read_bytes()[:4] == b"\x89PNG"


def test_run_logs_contract_snapshot_plot_and_reference(trained: Trained, tmp_path: Path) -> None:
    manager = MLflowManager(trained.settings, trained.contract)
    run = manager.client.get_run(trained.candidate.run_id)
    assert run.data.tags["gold_snapshot"] == str(trained.candidate.gold_snapshot)
    assert run.data.params["family"] == trained.candidate.family
    assert run.data.metrics["test_roc_auc"] == pytest.approx(trained.candidate.value)
    for artifact in ("contract.yaml", "plots/evaluation.png", REFERENCE_FILE, PROFILE_FILE):
        file = manager.download_artifact(trained.candidate.run_id, artifact, tmp_path)
        assert file.stat().st_size > 0


def test_training_snapshot_is_tagged(trained: Trained) -> None:
    lakehouse = LocalLakehouse(trained.settings)
    snapshots = lakehouse.snapshots(gold_table(trained.contract))
    tags = {item.snapshot_id: item.tags for item in snapshots}
    assert f"train-{trained.candidate.run_id}" in tags[trained.candidate.gold_snapshot]


def test_training_again_with_the_same_run_id_registers_nothing(trained: Trained) -> None:
    again = train(trained.settings, trained.contract, "first")
    newest = MLflowManager(trained.settings, trained.contract).newest_version()
    assert again == trained.candidate
    assert newest is not None
    assert newest.version == trained.candidate.model_version


def test_champion_is_promoted_and_promoting_again_changes_nothing(trained: Trained) -> None:
    assert trained.gate.promoted
    assert all(text.startswith("pass") for text in trained.gate.checks.values())
    assert promote(trained.settings, trained.contract).promoted


def test_reference_holds_training_rows_predicted_as_if_they_were_new(
    trained: Trained, tmp_path: Path
) -> None:
    manager = MLflowManager(trained.settings, trained.contract)
    champion = manager.champion_version()
    assert champion is not None
    file = manager.download_artifact(champion.run_id, REFERENCE_FILE, tmp_path)
    reference = pd.read_parquet(file)
    in_sample = manager.load(champion).predict(reference).scores
    assert len(reference) == trained.candidate.n_train
    assert reference["prediction"].between(0, 1).all()
    assert np.corrcoef(in_sample, reference["prediction"])[0, 1] > 0.9
    assert not np.allclose(in_sample, reference["prediction"], atol=1e-4)


def test_profile_counts_every_training_row_and_is_signed(trained: Trained, tmp_path: Path) -> None:
    manager = MLflowManager(trained.settings, trained.contract)
    champion = manager.champion_version()
    assert champion is not None
    assert PROFILE_FILE in (manager.verify_signature(champion).documents or ())
    reference = read_reference(manager.download_artifact(champion.run_id, PROFILE_FILE, tmp_path))
    whole = reference.whole
    assert whole.rows == trained.candidate.n_train
    names = [column.name for column in whole.bins.columns]
    assert names == [*trained.contract.feature_names, "prediction"]
    assert whole.missing[names.index("prediction")] == 0
    assert 0 < whole.refused < 0.1 * whole.rows
    assert (reference.window, reference.season) == ("1d", "weekend")


def test_batch_prediction_of_a_row_is_its_prediction_alone(
    trained: Trained, copied: Settings
) -> None:
    predict_batch(copied, trained.contract, run_id="parity")
    scored = table(copied, predictions_table(trained.contract)).to_pylist()
    rows = [row for row in scored if row["run_id"] == "parity"]
    manager = MLflowManager(copied, trained.contract)
    champion = manager.champion_version()
    assert champion is not None
    model = manager.load(champion)
    assert len(rows) == 3000
    for row in rows[::300]:
        alone = model.predict([row])
        assert alone.values == [row["prediction"]]
        assert alone.scores == pytest.approx([row["score"]], abs=1e-12)


def test_service_answers_over_http_what_batch_wrote(trained: Trained, copied: Settings) -> None:
    predict_batch(copied, trained.contract, run_id="parity")
    scored = table(copied, predictions_table(trained.contract)).to_pylist()
    rows = [row for row in scored if row["run_id"] == "parity"][::60]
    names = trained.contract.feature_names
    instances = [{name: row[name] for name in names} for row in rows]

    with TestClient(create_app(copied, trained.contract)) as client:
        until(lambda: client.get("/ready").status_code == 200, seconds=60)
        answer = client.post("/predict/batch", json={"instances": instances}).json()
        alone = client.post("/predict", json={"features": instances[0]}).json()

    positive = trained.contract.target.positive
    assert len(rows) == 50
    assert any(value is None for row in instances for value in row.values())
    for row, online in zip(rows, answer["predictions"], strict=True):
        assert online["prediction"] == row["prediction"]
        assert online["probabilities"][positive] == pytest.approx(row["score"], abs=1e-12)
    assert alone["probabilities"][positive] == pytest.approx(rows[0]["score"], abs=1e-12)


def test_batch_again_with_the_same_run_id_writes_the_same_rows(
    trained: Trained, copied: Settings
) -> None:
    first = predict_batch(copied, trained.contract)
    second = predict_batch(copied, trained.contract)
    scored = table(copied, predictions_table(trained.contract)).to_pylist()
    assert first.run_id == second.run_id
    assert sum(row["run_id"] == first.run_id for row in scored) == first.rows


def test_batch_scores_a_file_without_labels(
    trained: Trained, copied: Settings, tmp_path: Path
) -> None:
    write_sample(tmp_path / "new.csv", 300, 11, {})
    pd.read_csv(tmp_path / "new.csv", dtype=str, keep_default_na=False).drop(
        columns="churned"
    ).to_csv(tmp_path / "unlabelled.csv", index=False)
    result = predict_batch(copied, trained.contract, tmp_path / "unlabelled.csv")
    assert result.rows >= 300
    assert result.refused_rows == 1


def test_refused_rows_of_a_batch_are_named_with_their_reasons(
    trained: Trained, copied: Settings, tmp_path: Path
) -> None:
    write_sample(tmp_path / "new.csv", 300, 11, {})
    rows = pd.read_csv(tmp_path / "new.csv", dtype=str, keep_default_na=False)[:200]
    rows.loc[10:39, "contract"] = "forever"
    rows.loc[20:24, "age"] = "old"
    rows.to_csv(tmp_path / "odd.csv", index=False)

    result = predict_batch(copied, trained.contract, tmp_path / "odd.csv", "odd")

    assert result.refused_rows == 30
    assert list(result.refused_reasons.values()) == [30, 5]
    first, second = result.refused_reasons
    assert first == "contract: is not one of its categories"
    assert second.startswith("age: is not a")
    written = pd.read_csv(copied.root / result.refused_file)
    assert written["row"].tolist() == list(range(11, 41))
    assert written["refused"][0] == "contract: 'forever' is not one of its categories"

    rows.assign(contract="forever").to_csv(tmp_path / "all.csv", index=False)
    with pytest.raises(CheckFailedError, match=r"refuses all 200 rows .*contract: is not"):
        predict_batch(copied, trained.contract, tmp_path / "all.csv")


def test_batch_before_a_champion_says_what_to_run(project: Settings) -> None:
    with pytest.raises(RegistryError, match="make train-local"):
        predict_batch(project, load_contract(project.root))


def test_planted_leak_is_refused(project: Settings) -> None:
    contract = load_contract(project.root)
    source = project.root / contract.source.path
    write_sample(source, 1500, 5, {})
    lines = pd.read_csv(source, dtype=str, keep_default_na=False)
    random = np.random.default_rng(0)
    noise = random.integers(0, 9, len(lines))
    lines["refund"] = np.where(lines["churned"] == "yes", 90, 10) + noise
    lines.to_csv(source, index=False)
    leaky = contract.model_copy(
        update={"features": (*contract.features, Feature(name="refund", type="number"))}
    )
    refresh(project, leaky)
    with pytest.raises(CheckFailedError, match="refund"):
        train(project, leaky)
    assert MLflowManager(project, leaky).newest_version() is None


def test_model_of_noise_is_refused_by_the_gate(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = load_contract(project.root)
    source = project.root / contract.source.path
    write_sample(source, 1500, 5, {})
    lines = pd.read_csv(source, dtype=str, keep_default_na=False)
    lines["churned"] = np.random.default_rng(1).permutation(lines["churned"].to_numpy())
    lines.to_csv(source, index=False)
    quick = project.model_copy(
        update={"training": project.training.model_copy(update={"trials": 2})}
    )
    refresh(quick, contract)
    candidate = train(quick, contract)

    with pytest.raises(CheckFailedError, match="beats the baseline"):
        promote(quick, contract, candidate.model_version)

    manager = MLflowManager(quick, contract)
    assert manager.champion_version() is None
    assert manager.version(candidate.model_version).tags["gate"] == "refused"


def test_worse_candidate_leaves_the_champion(trained: Trained, tmp_path: Path) -> None:
    """A second model on a copy of the project, crippled to one feature, must not be promoted."""
    import shutil

    from goldpath.settings import load_settings

    root = tmp_path / "copy"
    shutil.copytree(trained.settings.root / "config", root / "config")
    shutil.copytree(trained.settings.root / "data", root / "data")
    settings = load_settings(root)
    quick = settings.model_copy(
        update={"training": settings.training.model_copy(update={"trials": 2})}
    )
    refresh(quick, trained.contract)
    first = train(quick, trained.contract, "good")
    promote(quick, trained.contract, first.model_version)
    age_only = {"features": trained.contract.features[6:7]}
    poor: Contract = trained.contract.model_copy(update=age_only)
    second = train(quick, poor, "poor")

    with pytest.raises(CheckFailedError, match="not worse than the champion"):
        promote(quick, poor, second.model_version)

    champion = MLflowManager(quick, trained.contract).champion_version()
    assert champion is not None
    assert champion.version == first.model_version


def test_a_service_with_a_compiled_model_imports_no_learner(trained: Trained) -> None:
    program = """
import sys
from goldpath.serving.api import create_service
from goldpath.settings import load_settings
lane = create_service(load_settings())
lane.app.state.predictor.refresh()
print(type(lane.app.state.predictor.current().model).__name__)
print(sorted({"pandas", "sklearn", "mlflow", "skops", "lightgbm", "ibis"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MLOPS_ROOT": str(trained.settings.root)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == ["CompiledModel", "[]"]


def test_batch_and_online_predictions_are_bit_identical(trained: Trained) -> None:
    manager = MLflowManager(trained.settings, trained.contract)
    champion = manager.champion_version()
    assert champion is not None
    rows = read_gold(LocalLakehouse(trained.settings), trained.contract, None).head(300)
    model = manager.load_for_serving(champion)
    assert isinstance(model, CompiledModel)
    assert champion.tags["compiled"].startswith("5000 rows, largest difference")
    with TestClient(create_service(trained.settings, trained.contract)) as client:
        until(lambda: client.get("/ready").status_code == 200)
        features = [
            {name: None if pd.isna(value) else value for name, value in row.items()}
            for row in rows[trained.contract.feature_names].astype(object).to_dict("records")
        ]
        online = [
            client.post("/predict", json={"features": row}).json()["probabilities"]["yes"]
            for row in features
        ]

    assert online == model.predict(rows).scores
    pipeline = manager.load(champion).predict(rows)
    assert online == pytest.approx(pipeline.scores, abs=1e-12)


@pytest.fixture
def without_registry(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The project of a service that served the champion once, and whose MLflow is down now."""
    manager = MLflowManager(trained.settings, trained.contract)
    champion = manager.champion_version()
    assert champion is not None
    manager.load_for_serving(champion)
    for folder in ("config", "run"):
        shutil.copytree(trained.settings.root / folder, tmp_path / folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    return load_settings(tmp_path)


def test_while_mlflow_is_down_the_last_verified_model_serves_and_says_so(
    trained: Trained, without_registry: Settings
) -> None:
    with TestClient(create_service(without_registry, trained.contract)) as client:
        until(lambda: client.get("/ready").status_code == 200)
        ready = client.get("/ready").json()
        answer = client.post("/predict", json={"features": example_features(trained.contract)})

    assert ready["ready"]
    assert "cannot be reached" in ready["missing"][0]
    assert ready["missing"][0].endswith("version 1 serves from the copy on this machine")
    assert ready["fix"]
    assert answer.status_code == 200
    assert answer.json()["model_version"] == "1"


def test_what_the_service_does_not_follow_is_not_kept_for_it(
    trained: Trained, tmp_path: Path
) -> None:
    """A candidate that is tried as `staging` must not serve as champion while MLflow is down."""
    shutil.copytree(trained.settings.root / "config", tmp_path / "config")
    settings = trained.settings.model_copy(update={"root": tmp_path})
    manager = MLflowManager(settings, trained.contract)
    champion = manager.champion_version()
    assert champion is not None
    manager.load_for_serving(replace(champion, aliases=("staging",)))

    assert manager.load_kept() is None

    manager.load_for_serving(champion)
    kept = manager.load_kept()
    assert kept is not None
    assert kept[0].version == champion.version


def test_a_copy_that_was_changed_does_not_serve(
    trained: Trained, without_registry: Settings
) -> None:
    forms = list((without_registry.root / "run" / "models").rglob("form.json"))
    assert len(forms) == 1
    forms[0].write_text(forms[0].read_text().replace('"divisor": 1.0', '"divisor": 2.0'))
    service = create_service(without_registry, trained.contract)
    predictor: Predictor = service.app.state.predictor  # type: ignore[attr-defined]

    predictor.refresh()

    status = predictor.status()
    assert status.version is None
    assert "cannot be reached" in status.missing[0]
    assert "copy" not in status.missing[0]
