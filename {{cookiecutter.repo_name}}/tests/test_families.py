"""Each family learns rows of this project's contract, and its models are stored without pickle."""

from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from goldpath import Columns, Contract, Family
from skops.io import dumps, get_untrusted_types

from {{ cookiecutter.package_name }}.project import project

FAMILIES = project.definitions.families
ROWS = 200


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


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_learns_and_can_be_stored(family: Family, contract: Contract) -> None:
    frame = rows_of(contract)
    target = told_by_the_first_column(frame, contract)
    model = family.build(contract, first_drawn(family, contract), seed=0).fit(frame, target)
    assert model.score(frame, target) > 0.9
    known = {"functools.partial", "numpy.dtype", *family.trusted}
    unknown = set(get_untrusted_types(data=dumps(model))) - known
    assert all(name.startswith(("sklearn.", "scipy.")) for name in unknown), unknown


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_search_space_holds_the_defaults(family: Family, contract: Contract) -> None:
    drawn = first_drawn(family, contract)
    assert drawn == pytest.approx(dict(family.defaults) or drawn)
    has_codes = bool(Columns(contract, 0).coded_categories)
    assert has_codes == any(feature.categories for feature in contract.features)
