"""A model without a compiled form answers the same behind a compiled encoder, or without one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from goldpath.compiled import compiler, encoded
from goldpath.compiled.compiler import NotCompilableError, compile_pipeline
from goldpath.compiled.encoded import EncodedModel, behind_encoder
from goldpath.compiled.form import CompiledForm
from goldpath.learning.families import FAMILIES
from goldpath.learning.scoring import LoadedModel
from goldpath.serving.lane.model import encoded_engine

from ..api.conftest import until
from ..api.examples import Shelf, client_of, contract_of, random_rows, settings_of
from ..api.examples import fitted as served_model
from .test_compiled_ensembles import found as ensemble
from .test_estimators import CLASSES, COLUMNS, contract, rows

MODELS: dict[str, tuple[str, Callable[[], Any]]] = {
    "neighbours": ("binary", lambda: KNeighborsClassifier(5)),
    "bayes": ("many", GaussianNB),
    "more trees": ("binary", lambda: ExtraTreesClassifier(20, random_state=0)),
    "neighbours' mean": ("number", lambda: KNeighborsRegressor(5)),
}


def fitted(target: str, model: Any, *steps: tuple[str, Any]) -> LoadedModel:
    """A model behind the linear family's columns."""
    described, frame = contract(target, COLUMNS), rows(target)
    linear = FAMILIES["linear"].build(described, FAMILIES["linear"].defaults, 0)
    pipeline = Pipeline([("columns", linear.named_steps["columns"]), *steps, ("model", model)])
    pipeline.fit(frame[described.feature_names], frame["y"].to_numpy())
    return LoadedModel(pipeline, described)


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_the_pipelines_bit_for_bit(name: str) -> None:
    target, make = MODELS[name]
    loaded = fitted(target, make())
    found = behind_encoder(loaded)
    assert found is not None
    features = loaded.contract.feature_names
    given = rows(target)[features].head(200)
    records = [
        {key: None if value is None or value != value else value for key, value in row.items()}
        for row in given.astype(object).to_dict("records")
    ]
    expected = loaded.predict(records)
    lane = encoded_engine(found)
    for count in (1, 7, 200):
        values = [tuple(record[key] for key in lane.order) for record in records[:count]]
        answers = np.array(lane.now(values))
        if expected.probabilities is not None:
            assert np.array_equal(answers, expected.probabilities[:count])
        else:
            assert answers[:, 0].tolist() == expected.scores[:count]


@pytest.mark.slow
@pytest.mark.parametrize("target", list(CLASSES))
@pytest.mark.parametrize("families", [("linear",), ("network", "neighbours", "hist_boosting")])
def test_ensembles_without_a_compiled_form_need_no_pandas_either(
    target: str, families: tuple[str, ...]
) -> None:
    loaded = ensemble(contract(target, COLUMNS), target, families, 6)
    with pytest.raises(NotCompilableError):
        compile_pipeline(loaded.pipeline, loaded.contract)
    found = behind_encoder(loaded)
    assert found is not None
    given = random_rows(loaded.contract, 50)
    expected = loaded.predict(given)
    lane = encoded_engine(found)
    values = [tuple(record[key] for key in lane.order) for record in given]
    answers = np.array(lane.now(values))
    if expected.probabilities is not None:
        assert np.array_equal(answers, expected.probabilities)
    else:
        assert answers[:, 0].tolist() == expected.scores


def test_what_cannot_be_encoded_is_served_by_the_pipeline() -> None:
    step = ("odd", FunctionTransformer(np.abs))
    assert behind_encoder(fitted("binary", GaussianNB(), step)) is None


def test_an_encoder_that_answers_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """One fill value is wrong in the eighth digit."""
    real = compiler.compile_encoder

    def slightly_wrong(*given: Any) -> CompiledForm:
        form = real(*given)
        fill = form.encoder.fill.copy()
        fill[np.flatnonzero(np.isfinite(fill))[0]] *= 1 + 1e-8
        return replace(form, encoder=replace(form.encoder, fill=fill))

    loaded = fitted("binary", GaussianNB())
    assert behind_encoder(loaded) is not None
    monkeypatch.setattr(encoded, "compile_encoder", slightly_wrong)
    assert behind_encoder(loaded) is None


def test_the_service_answers_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Encoding(Shelf):
        def load_for_serving(self, version: Any) -> Any:
            loaded = super().load_for_serving(version)
            assert isinstance(loaded, LoadedModel)
            found = behind_encoder(loaded)
            assert isinstance(found, EncodedModel)
            return found

    shelf = Encoding(compiled=False)
    shelf.put(served_model("binary", family="linear"))
    given = random_rows(contract_of("binary"), 30, seed=4)
    expected = served_model("binary", family="linear").predict(given).scores
    with client_of(settings_of(tmp_path, monkeypatch), "binary", shelf) as client:
        until(lambda: client.get("/ready").status_code == 200)
        assert client.get("/model").json()["engine"] == "encoder"
        one = [client.post("/predict", json={"features": row}).json() for row in given]
        many = client.post("/predict/batch", json={"instances": given}).json()["predictions"]
    for answers in (one, many):
        # A matrix product of one row may end in another last bit than that of thirty.
        found = [answer["probabilities"]["yes"] for answer in answers]
        assert found == pytest.approx(expected, abs=1e-14)
