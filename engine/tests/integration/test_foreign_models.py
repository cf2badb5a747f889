"""A model that this project did not store is refused, whatever its own files allow."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from goldpath.contract import dump_contract, load_contract
from goldpath.model_version import ModelVersion
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.settings import Settings
from goldpath.trust.signing import SignatureError, sign_folder

OPTIMIZER = "sklearn.neural_network._stochastic_optimizers.AdamOptimizer"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (
            {"serialization_format": "skops", "skops_trusted_types": [OPTIMIZER]},
            "types that are not allowed",
        ),
        ({"serialization_format": "cloudpickle"}, "carries a pickle"),
    ],
    ids=["a type that its own list trusts", "a pickle"],
)
def test_foreign_model_is_not_loaded(
    project: Settings, stored: dict[str, Any], expected: str
) -> None:
    import mlflow
    from sklearn.neural_network import MLPClassifier

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    contract = load_contract(project.root)
    manager = MLflowManager(project, contract)
    manager.initialise()
    network = MLPClassifier(max_iter=1).fit(np.eye(4), [0, 1, 0, 1])
    with manager.run("foreign", {}) as run_id:
        manager.log_text(run_id, dump_contract(contract), "contract.yaml")
        info = mlflow.sklearn.log_model(network, name="model", pip_requirements=[], **stored)
    created = manager.client.create_model_version(
        manager.model_name, info.model_uri, run_id, model_id=info.model_id
    )
    manager.set_champion(str(created.version))
    champion = manager.champion_version()
    assert champion is not None

    with pytest.raises(SignatureError, match="unsigned"):
        manager.load(champion)
    # Somebody signs it without looking: what is in it is refused all the same.
    try:
        sign(manager, champion)
    except SignatureError as error:
        assert expected in str(error)  # noqa: PT017
        return
    with pytest.raises(RegistryError, match=expected):
        manager.load(champion)


def sign(manager: MLflowManager, version: ModelVersion) -> None:
    import mlflow

    with TemporaryDirectory() as name:
        source = mlflow.artifacts.download_artifacts(version.source, dst_path=name)
        manager.download_artifact(version.run_id, "contract.yaml", Path(source))
        signature = sign_folder(Path(source), version.name, manager.settings, version.version)
    manager.log_text(version.run_id, signature.to_json(), "signature.json")
