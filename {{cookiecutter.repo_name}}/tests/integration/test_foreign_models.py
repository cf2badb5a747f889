"""A model that this project did not store is refused, whatever its own files allow."""

import logging
from typing import Any

import numpy as np
import pytest

from {{ cookiecutter.package_name }}.contract import dump_contract, load_contract
from {{ cookiecutter.package_name }}.model.mlflow_manager import (
    MLflowManager,
    RegistryError,
)
from {{ cookiecutter.package_name }}.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (
            {"serialization_format": "skops", "skops_trusted_types": ["sklearn.tree._tree.Tree"]},
            "types that are not allowed",
        ),
        ({"serialization_format": "cloudpickle"}, "holds no model.skops"),
    ],
    ids=["a type that its own list trusts", "a pickle"],
)
def test_foreign_model_is_not_loaded(
    project: Settings, stored: dict[str, Any], expected: str
) -> None:
    import mlflow
    from sklearn.tree import DecisionTreeClassifier

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    contract = load_contract(project.root)
    manager = MLflowManager(project, contract)
    manager.initialise()
    tree = DecisionTreeClassifier().fit(np.eye(4), [0, 1, 0, 1])
    with manager.run("foreign", {}) as run_id:
        manager.log_text(run_id, dump_contract(contract), "contract.yaml")
        info = mlflow.sklearn.log_model(tree, name="model", pip_requirements=[], **stored)
    created = manager.client.create_model_version(
        manager.model_name, info.model_uri, run_id, model_id=info.model_id
    )
    manager.set_champion(str(created.version))
    champion = manager.champion_version()
    assert champion is not None

    with pytest.raises(RegistryError, match=expected):
        manager.load(champion)
