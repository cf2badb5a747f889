"""Each family learns this project's rows, and its models can be stored without pickle."""

import numpy as np
import optuna
import pandas as pd
import pytest
from goldpath import Columns, Contract, Family
from skops.io import dumps, get_untrusted_types

from {{ cookiecutter.package_name }}.model import families

FAMILIES = [families.boosting, families.linear]
ROWS = 200


def rows_of(contract: Contract) -> pd.DataFrame:
    """Rows as models see them: numbers as float64, categories as text, gaps where allowed."""
    random = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {}
    for feature in contract.features:
        if feature.is_numeric:
            columns[feature.name] = random.integers(0, 2, ROWS) + random.random(ROWS)
        else:
            columns[feature.name] = random.choice(list(feature.categories or ("a", "b")), ROWS)
    return pd.DataFrame(columns)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_learns_and_can_be_stored(family: Family, contract: Contract) -> None:
    frame = rows_of(contract)
    target = np.where(frame["support_tickets"] > 1, "yes", "no")
    model = family.build(contract, family.defaults, seed=0).fit(frame, target)
    assert model.score(frame, target) > 0.9
    known = {"functools.partial", "numpy.dtype", *family.trusted}
    unknown = set(get_untrusted_types(data=dumps(model))) - known
    assert all(name.startswith(("sklearn.", "scipy.")) for name in unknown), unknown


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_search_space_holds_the_defaults(family: Family, contract: Contract) -> None:
    study = optuna.create_study()
    study.enqueue_trial(dict(family.defaults))
    assert family.suggest(study.ask(), contract) == pytest.approx(family.defaults)
    assert Columns(contract, 0).coded_categories
