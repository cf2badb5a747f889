"""Small contracts, and models that are really fitted, for the tests of the service."""

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import strategies as st

from goldpath.compiled.compiler import compile_pipeline
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract, Feature, dump_contract, parse_contract
from goldpath.learning.families import FAMILIES
from goldpath.learning.frames import model_frame
from goldpath.learning.scoring import LoadedModel, ModelVersion
from goldpath.serving.api import create_service
from goldpath.settings import Settings, load_settings

from ..ready_made import kernels

with warnings.catch_warnings():
    # Starlette 1.10 asks for httpx2, a fork of httpx, and runs on httpx as before.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient as TestClient

# Names that a column may well have, and that break a naive request model.
FEATURES = """
features:
  - {name: class, type: number, minimum: -1.5, maximum: 1000}
  - {name: 2nd call, type: integer, minimum: 0, maximum: 12}
  - {name: schema, type: number, nullable: true}
  - {name: model_config, type: boolean}
  - {name: copy, type: boolean, nullable: true}
  - {name: field_0, type: category, categories: [month-to-month, "two years", "1"]}
  - {name: país.über, type: category, nullable: true, categories: [north, south]}
  - {name: free text, type: category, nullable: true}
  - {name: self, type: integer, nullable: true}
"""
TARGETS = {
    "binary": "problem: classification\ntarget: {column: left, classes: ['no', 'yes']}",
    "multiclass": "problem: classification\ntarget: {column: kind, classes: [a, b, c]}",
    "regression": "problem: regression\ntarget: {column: amount}",
}
PROBLEMS = tuple(TARGETS)


@cache
def contract_of(problem: str) -> Contract:
    return parse_contract(
        f"dataset: small\nsource:\n  path: rows.csv\n{TARGETS[problem]}\n{FEATURES}"
    )


def random_rows(contract: Contract, count: int, seed: int = 1) -> list[dict[str, Any]]:
    dice = random.Random(seed)  # the same rows in each run
    return [{f.name: _random_value(f, dice) for f in contract.features} for _ in range(count)]


def values_of(feature: Feature) -> st.SearchStrategy[Any]:
    """Everything that the contract allows for a feature, as JSON."""
    low, high = feature.minimum, feature.maximum
    allowed: st.SearchStrategy[Any]
    if feature.type == "boolean":
        allowed = st.sampled_from([True, False, 0, 1])
    elif feature.type == "integer":
        whole = st.integers(
            int(low) if low is not None else -(2**53) + 1,
            int(high) if high is not None else 2**53 - 1,
        )
        allowed = whole | whole.map(float)
    elif feature.type == "number":
        allowed = st.floats(low, high, allow_nan=False, allow_infinity=False)
    elif feature.categories is not None:
        allowed = st.sampled_from(feature.categories)
    else:
        letters = st.characters(exclude_categories=["Cs"])
        allowed = st.text(letters, min_size=1, max_size=200).filter(lambda text: text.strip() != "")
    return allowed | st.none() if feature.nullable else allowed


def rows_of(contract: Contract) -> st.SearchStrategy[dict[str, Any]]:
    required = {f.name: values_of(f) for f in contract.features if not f.nullable}
    optional = {f.name: values_of(f) for f in contract.features if f.nullable}
    return st.fixed_dictionaries(required, optional=optional)


@cache
def fitted(problem: str, version: str = "1", family: str = "boosting") -> LoadedModel:
    contract = contract_of(problem)
    rows = random_rows(contract, 300, seed=int(version))
    classes = contract.target.classes
    target = [
        classes[int(row["2nd call"]) % len(classes)] if classes else float(row["class"])
        for row in rows
    ]
    parameters = {**FAMILIES[family].defaults, **({"max_iter": 10} if family == "boosting" else {})}
    pipeline = FAMILIES[family].build(contract, parameters, 1)
    pipeline.fit(model_frame(rows, contract), pd.Series(target).to_numpy())
    return LoadedModel(pipeline, contract, ModelVersion("small", version, "run", ("champion",), {}))


@dataclass
class Shelf:
    """A registry in memory, over models that are really fitted.

    Attributes:
        compiled: Whether models are given out in their compiled form, which the fast lane serves.
    """

    models: dict[str, LoadedModel] = field(default_factory=dict)
    champion: str | None = None
    challenger: str | None = None
    broken: set[str] = field(default_factory=set)
    compiled: bool = True

    def put(self, model: LoadedModel) -> None:
        assert model.version is not None
        self.models[model.version.version] = model
        self.champion = model.version.version

    def version_by_alias(self, alias: str) -> ModelVersion | None:
        number = {"champion": self.champion, "challenger": self.challenger}[alias]
        return self.models[number].version if number else None

    def load_for_serving(self, version: ModelVersion) -> LoadedModel | CompiledModel:
        if version.version in self.broken:
            raise OSError("the file is torn")
        model = self.models[version.version]
        if not self.compiled:
            return model
        form = compile_pipeline(model.pipeline, model.contract)
        return CompiledModel(form, model.contract, model.version, kernels())

    def load_kept(self) -> None:
        """A shelf keeps no copies."""


MakeSettings = Callable[..., Settings]


def write_project(root: Path, problem: str = "binary") -> None:
    (root / "config").mkdir(parents=True, exist_ok=True)
    text = dump_contract(contract_of(problem))
    (root / "config" / "project.yaml").write_text(text, encoding="utf-8")
    # A million rows are for real models; test_compiled.py proves what finds the faults.
    (root / "config" / "training.yaml").write_text("parity_rows: 2000\n", encoding="utf-8")


def settings_of(root: Path, monkeypatch: pytest.MonkeyPatch, **serving: object) -> Settings:
    write_project(root)
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    monkeypatch.setenv("MLOPS_SERVING__REFRESH_SECONDS", "0.05")
    for name, value in serving.items():
        monkeypatch.setenv(f"MLOPS_SERVING__{name.upper()}", str(value))
    return load_settings(root)


def client_of(settings: Settings, problem: str, shelf: Shelf | None = None) -> TestClient:
    """The app over HTTP's own types; use it in a `with`, which starts and stops it."""
    source = shelf if shelf is not None else Shelf()
    if shelf is None:
        source.put(fitted(problem))
    service = create_service(settings, contract_of(problem), source)
    return TestClient(service, raise_server_exceptions=False, follow_redirects=False)


def _random_value(feature: Feature, dice: random.Random) -> Any:
    if feature.nullable and dice.random() < 0.2:
        return None
    if feature.type == "boolean":
        return dice.random() < 0.5
    if feature.type == "integer":
        return dice.randint(0, 12)
    if feature.type == "number":
        # Bounded features are of a usual size; the unbounded one is so narrow that 1e308 overflows.
        return dice.uniform(0, 100) if feature.maximum is not None else dice.uniform(0, 1e-3)
    return dice.choice(feature.categories or ("one", "two", "three"))
