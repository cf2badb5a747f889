"""The families of each model learn and are stored without pickle; its metrics are numbers."""

from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from goldpath import Columns, Contract, Family, Metric, load_contract
from skops.io import dumps, get_untrusted_types

from conftest import MODELS, ROOT, definitions_of

ROWS = 200


def unless_clustering(model: str) -> list[pytest.MarkDecorator]:
    """A mark that skips what learns or measures by a target, where there is none."""
    reason = "problem: clustering has no target to learn, or to measure by"
    return [pytest.mark.skipif(not load_contract(ROOT, model).has_target, reason=reason)]


OF_EACH_MODEL = pytest.mark.parametrize(
    ("family", "contract"),
    [
        pytest.param(
            family,
            load_contract(ROOT, model),
            id=f"{model or 'main'}-{family.name}",
            marks=unless_clustering(model),
        )
        for model in MODELS
        for family in definitions_of(model).families
    ],
)


def metrics_of(model: str) -> list[Metric]:
    """The main metric, if it is one of the project's own, and the further ones."""
    found = definitions_of(model)
    return [*([found.metric] if found.metric else []), *found.metrics]


def rows_of(contract: Contract) -> pd.DataFrame:
    """Rows as models see them: numbers as float64, categories as text."""
    random = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {}
    for feature in contract.features:
        if feature.is_numeric:
            columns[feature.name] = random.integers(0, 2, ROWS) + random.random(ROWS)
        else:
            columns[feature.name] = random.choice(list(feature.categories or ("a", "b")), ROWS)
    return pd.DataFrame(columns)


def with_computed(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The rows as metrics see them: with the columns that features compute."""
    random = np.random.default_rng(1)
    return frame.assign(**{name: random.random(len(frame)) for name in names})


def told_by_the_first_column(frame: pd.DataFrame, contract: Contract) -> np.ndarray:
    """A target that any model can learn: labels, or values."""
    first = frame.iloc[:, 0]
    is_numeric = contract.features[0].is_numeric
    high = np.asarray(first > first.median() if is_numeric else first == first.iloc[0])
    if contract.problem == "regression":
        return np.asarray(first if is_numeric else high, dtype="float64")
    return np.where(high, contract.target.classes[1], contract.target.classes[0])


def first_drawn(family: Family, contract: Contract) -> dict[str, Any]:
    """The parameters that a search tries first: the defaults, where the family has some."""
    study = optuna.create_study()
    study.enqueue_trial(dict(family.defaults))
    return dict(family.suggest(study.ask(), contract))


@OF_EACH_MODEL
def test_a_family_learns_and_can_be_stored(family: Family, contract: Contract) -> None:
    frame = rows_of(contract)
    target = told_by_the_first_column(frame, contract)
    model = family.build(contract, first_drawn(family, contract), seed=0).fit(frame, target)
    told = model.predict(frame)
    is_number = contract.problem == "regression"
    assert (np.corrcoef(told, target)[0, 1] if is_number else np.mean(told == target)) > 0.9
    known = {"functools.partial", "numpy.dtype", *family.trusted}
    known |= {"goldpath.learning.foreign.ForeignModel"}  # what `save` of a @stored class writes
    known |= {"goldpath.learning.text.vectors.TextVectors"}  # a column of free text
    unknown = set(get_untrusted_types(data=dumps(model))) - known
    assert all(name.startswith(("sklearn.", "scipy.")) for name in unknown), unknown


@OF_EACH_MODEL
def test_the_search_space_holds_the_defaults(family: Family, contract: Contract) -> None:
    drawn = first_drawn(family, contract)
    assert drawn == pytest.approx(dict(family.defaults) or drawn)
    has_codes = bool(Columns(contract, 0).coded_categories)
    assert has_codes == any(feature.categories for feature in contract.features)


@pytest.mark.parametrize(
    ("model", "metric"),
    [
        pytest.param(
            model, each, id=f"{model or 'main'}-{each.name}", marks=unless_clustering(model)
        )
        for model in MODELS
        for each in metrics_of(model)
    ],
)
def test_a_metric_of_right_predictions_is_a_number(
    model: str, metric: Metric, checked: dict[str, Any]
) -> None:
    contract = load_contract(ROOT, model)
    frame = with_computed(rows_of(contract), checked[model]["features"])
    truth = told_by_the_first_column(frame, contract)
    given = {"truth": truth, "decided": truth, "rows": frame}
    if contract.problem != "regression":
        sure = (truth[:, None] == np.array(contract.target.classes)).astype("float64")
        given["probability"] = sure[:, 1] if contract.is_binary else sure
    assert np.isfinite(metric.function(*(given[name] for name in metric.inputs)))
