"""Whether a fitted model can be stored and read again: asked before a search, not after it.

A model is stored by skops, which refuses to make a type that nobody has declared. A type appears
when a model is fitted, so each family of the project is fitted once, with its defaults, to some
rows.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.learning.families import families_of, require_installed, trusted_types
from goldpath.learning.family import Family
from goldpath.learning.frames import model_frame, target_values
from goldpath.project import Model

ROWS_OF_A_CLASS = 20
ROWS = 200


class FirstTrial:
    """Draws the first value that is allowed."""

    def suggest_float(self, name: str, low: float, *_: float, **__: Any) -> float:  # noqa: ARG002
        """The lowest number."""
        return low

    def suggest_int(self, name: str, low: int, *_: int, **__: Any) -> int:  # noqa: ARG002
        """The lowest number."""
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # noqa: ARG002
        """The first choice."""
        return choices[0]


def require_storable_families(
    train: pd.DataFrame,
    contract: Contract,
    definitions: Model,
    seed: int,
    names: Sequence[str] = (),
    prove: Callable[[Any, pd.DataFrame], None] = lambda _model, _frame: None,
) -> None:
    """Fit each family of the project to a few rows, and refuse one that could not be registered.

    The engine's own families are known. What depends on drawn parameters may still appear later:
    registration asks again.

    Args:
        train: Training rows.
        contract: Names the columns.
        definitions: The project's families.
        seed: For whatever is random in an estimator.
        names: The families that the settings choose.
        prove: Called with each fitted model and the rows that it was fitted on.

    Raises:
        ProjectDefinitionError: Names the family, the types and what to write where.
    """
    rows = _few_rows(train, contract)
    chosen = families_of(definitions, names)
    require_installed(chosen)
    for family in chosen.values():
        family.space(contract)
        if family not in definitions.families:
            continue
        parameters = {**family.suggest(FirstTrial(), contract), **family.defaults}
        try:
            model = family.build(contract, parameters, seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(model_frame(rows, contract), target_values(rows, contract))
        except ProjectError:
            raise
        except Exception:  # noqa: BLE001, S112  the search fits all rows, and says what fails
            continue
        require_storable(model, definitions, family)
        prove(model, model_frame(rows, contract))


def require_storable(model: Any, definitions: Model, family: Family | None = None) -> None:
    """Refuse a fitted model that skops would not store, or not read again.

    Args:
        model: The fitted estimator.
        definitions: The project's families declare types.
        family: The family that made it, for the message.

    Raises:
        ProjectDefinitionError: Names every such type in full.
    """
    what = "the model" if family is None else f"{place_of(family.function)}: {family.name}"
    try:
        found = untrusted_types(model, definitions)
    except Exception as error:
        raise _unstorable(what, f"{type(error).__name__}: {error}") from error
    if nameless := [name for name in found if "<" in name]:  # <lambda>, <locals>
        raise _unstorable(what, ", ".join(nameless))
    if found:
        listed = ", ".join(f'"{name}"' for name in found)
        raise ProjectDefinitionError(
            f"{what} makes types that a stored model may not hold: {', '.join(found)}",
            f"if you know them to be safe to make from a file, declare them where the family is "
            f"defined: @family(trusted=[{listed}])",
        )


def _unstorable(what: str, why: str) -> ProjectDefinitionError:
    return ProjectDefinitionError(
        f"{what} makes a model that cannot be stored: {why}",
        "hold no lambda, local function, open file or lock in a fitted model; write a class "
        "or function at the top of a module of the project instead",
    )


def untrusted_types(model: Any, definitions: Model) -> list[str]:
    """The types in a fitted model that neither skops nor the project declares safe."""
    from skops.io import dumps, get_untrusted_types

    known = set(trusted_types(definitions))
    return sorted(set(get_untrusted_types(data=dumps(model))) - known)


def _few_rows(train: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """The first rows, with some of each class."""
    if contract.problem != "classification":
        return train.head(ROWS)
    return train.groupby(contract.target.column, sort=False, observed=True).head(ROWS_OF_A_CLASS)
