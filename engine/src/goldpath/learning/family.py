"""A family: one kind of model, as a function that builds an estimator from a trial's draws."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, overload

from goldpath.contract import Contract
from goldpath.handed_over import (
    FAMILY,
    ProjectDefinitionError,
    place_of,
    place_of_class,
    require_plain,
)
from goldpath.learning.columns import Columns
from goldpath.learning.space import Dimension, RecordingTrial, require_drawable
from goldpath.learning.stored import stored_class_of
from goldpath.learning.text.sizes import USUAL_SIZES, TextSizes

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class Trial(Protocol):
    """Draws parameters; Optuna's trials do, and so does a trial of known parameters.

    Example:
        >>> import optuna
        >>> from goldpath import Trial
        >>> def depth(trial: Trial) -> int:
        ...     return trial.suggest_int("max_depth", 3, 16)
        >>> depth(optuna.trial.FixedTrial({"max_depth": 8}))
        8
    """

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number between two others, both included."""
        ...

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """A whole number between two others, both included."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of some values."""
        ...


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Attributes:
        name: As it is logged.
        function: Builds an unfitted estimator from a trial and the contract's columns.
        defaults: Parameters that the search tries first; it draws these, too, where there are none.
        trusted: Types of one's own or of another library that loading a fitted model may make,
            beyond those of scikit-learn, as `module.Class`.
        requires: What must be importable to build it, as `import` names it.

    Example:
        >>> from pathlib import Path
        >>> from goldpath import family, load_contract
        >>> @family(defaults={"alpha": 1.0})
        ... def ridge(trial, columns):
        ...     from sklearn.linear_model import LogisticRegression
        ...     from sklearn.pipeline import make_pipeline
        ...     alpha = trial.suggest_float("alpha", 0.01, 100, log=True)
        ...     return make_pipeline(columns.encoded(), LogisticRegression(C=1 / alpha))
        >>> ridge.build(load_contract(Path.cwd()), {"alpha": 2.0}, seed=7)[-1]
        LogisticRegression(C=0.5)
    """

    MADE_BY: ClassVar[str] = FAMILY

    name: str
    function: "Callable[[Any, Columns], BaseEstimator]"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    trusted: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()

    def build(
        self,
        contract: Contract,
        parameters: Mapping[str, Any],
        seed: int,
        text_sizes: TextSizes = USUAL_SIZES,
    ) -> "BaseEstimator":
        """An unfitted estimator with these parameters.

        Raises:
            ProjectDefinitionError: If the function returns none.
        """
        columns = Columns(contract, seed, text_sizes)
        made = self.function(KnownTrial(self.name, parameters), columns)
        return _as_estimator(made, self.function, contract.problem)

    def suggest(self, trial: Trial, contract: Contract) -> dict[str, Any]:
        """Draw parameters for a trial."""
        return self._drawn(_Recorder(trial), contract)

    def suggest_in_study(self, trial: Trial, contract: Contract) -> dict[str, Any]:
        """The same for a trial of several families, which may draw one name in different ways."""
        return self._drawn(_Recorder(trial, f"{self.name}."), contract)

    def defaults_in_study(self) -> dict[str, Any]:
        """The defaults by the names that such a trial knows."""
        return {f"{self.name}.{name}": value for name, value in self.defaults.items()}

    def _drawn(self, recorder: "_Recorder", contract: Contract) -> dict[str, Any]:
        self.function(recorder, Columns(contract, 0))
        return recorder.drawn

    def space(self, contract: Contract) -> Mapping[str, Dimension]:
        """What is searched over where it starts from its defaults, by parameter.

        Raises:
            ProjectDefinitionError: If a default is of no parameter, or outside of its range.
        """
        trial = RecordingTrial(self.defaults)
        self.function(trial, Columns(contract, 0))
        require_drawable(self.name, self.function, self.defaults, trial.space)
        return trial.space


@dataclass(frozen=True)
class KnownTrial:
    """A trial whose parameters are known: what builds the model that a search has found."""

    family: str
    parameters: Mapping[str, Any]

    def suggest_float(self, name: str, *_: float, **__: Any) -> float:
        """The known value."""
        return float(self._known(name))

    def suggest_int(self, name: str, *_: int, **__: Any) -> int:
        """The known value."""
        return int(self._known(name))

    def suggest_categorical(self, name: str, _: Sequence[Any]) -> Any:
        """The known value."""
        return self._known(name)

    def _known(self, name: str) -> Any:
        if name not in self.parameters:
            raise ProjectDefinitionError(
                f"the family {self.family} draws {name!r}, and its known parameters are "
                f"{', '.join(self.parameters) or 'none'}",
                f"give {name!r} in the family's defaults; a former version's parameters fit the "
                "family as it was then",
            )
        return self.parameters[name]


class _Recorder:
    """Passes draws on to a trial, with a prefix before their names, and keeps them."""

    def __init__(self, trial: Trial, prefix: str = "") -> None:
        self._trial = trial
        self._prefix = prefix
        self.drawn: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> float:
        value = self._trial.suggest_float(self._prefix + name, low, high, **options)
        return float(self.drawn.setdefault(name, value))

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> int:
        value = self._trial.suggest_int(self._prefix + name, low, high, **options)
        return int(self.drawn.setdefault(name, value))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        value = self._trial.suggest_categorical(self._prefix + name, choices)
        return self.drawn.setdefault(name, value)


@overload
def family(function: "Callable[[Any, Columns], BaseEstimator]", /) -> Family: ...
@overload
def family(
    *,
    defaults: Mapping[str, Any] | None = None,
    trusted: Sequence[str] = (),
    name: str | None = None,
    requires: Sequence[str] = (),
) -> "Callable[[Callable[[Any, Columns], BaseEstimator]], Family]": ...
def family(
    function: "Callable[[Any, Columns], BaseEstimator] | None" = None,
    /,
    *,
    defaults: Mapping[str, Any] | None = None,
    trusted: Sequence[str] = (),
    name: str | None = None,
    requires: Sequence[str] = (),
) -> "Family | Callable[[Callable[[Any, Columns], BaseEstimator]], Family]":
    """Make a family of a function `(trial, columns) -> estimator`.

    The function is called for each trial of the search and must do nothing but build: it draws
    parameters from `trial` as with Optuna, and returns an unfitted scikit-learn estimator that
    takes the contract's features as a DataFrame. `columns` knows the features and makes encoders.
    The estimator, or the last step of a `Pipeline`, may be an object of a class of one's own that
    saves and loads itself; see `stored`.

    Args:
        function: Builds the estimator.
        defaults: Parameters to try first. A search prefers the best defaults unless another
            configuration is better by more than the noise of the folds.
        trusted: Types that loading a fitted model may make, beyond those of scikit-learn.
        name: As it is logged; the function's name where not given.
        requires: What must be importable to build it; `check` and the search name what is missing.

    Returns:
        The family; or a decorator that makes one, where options are given.

    Raises:
        ProjectDefinitionError: If the function does not take a trial and the columns, or is a
            class, a generator or an async function.

    Example:
        >>> from goldpath import family
        >>> @family(defaults={"max_depth": 8})
        ... def forest(trial, columns):
        ...     from sklearn.ensemble import RandomForestClassifier
        ...     from sklearn.pipeline import make_pipeline
        ...     depth = trial.suggest_int("max_depth", 3, 16)
        ...     return make_pipeline(columns.encoded(), RandomForestClassifier(max_depth=depth))
        >>> forest.name
        'forest'
    """

    def decorate(decorated: "Callable[[Any, Columns], BaseEstimator]") -> Family:
        if len(inspect.signature(decorated).parameters) != 2:
            raise ProjectDefinitionError(
                f"{place_of(decorated)}: the family takes {inspect.signature(decorated)}",
                "write it with two parameters: trial and columns",
            )
        require_plain(decorated, "a family", name)
        return Family(
            name or decorated.__name__,
            decorated,
            dict(defaults or {}),
            tuple(trusted),
            tuple(requires),
        )

    return decorate if function is None else decorate(function)


def _as_estimator(made: Any, function: Any, problem: str) -> Any:
    """What a family returned, with a foreign model wrapped as an estimator.

    Raises:
        ProjectDefinitionError: If it cannot be fitted, or saves itself without a stored name.
    """
    steps = getattr(made, "steps", None)
    last = steps[-1][1] if steps else made
    if isinstance(last, type) or not callable(getattr(last, "fit", None)):
        raise ProjectDefinitionError(
            f"{place_of(function)}: the family returns {last!r}, which has no method fit",
            "return an unfitted scikit-learn estimator, or an object of a class with @stored(…)",
        )
    if learned := _fitted_part(made):
        raise ProjectDefinitionError(
            f"{place_of(function)}: the family returns {learned}, which is fitted already: it "
            "knows rows that the model is judged on",
            "return unfitted estimators; each is fitted to the rows that it may learn from",
        )
    entry = stored_class_of(last)
    if entry is None and callable(getattr(last, "save", None)) and _is_plain(last):
        raise ProjectDefinitionError(
            f"{place_of(function)}: the family's model {type(last).__name__} "
            f"({place_of_class(type(last))}) saves itself, and has no name for the versions",
            f'write @stored("{type(last).__name__.lower()}") above the class '
            "(from goldpath import stored)",
        )
    if entry is None or not entry.saves:
        return made
    from goldpath.learning.foreign import ForeignModel

    wrapped = ForeignModel(last, problem == "classification")
    if steps:
        steps[-1] = (steps[-1][0], wrapped)
        return made
    return wrapped


def _fitted_part(made: Any) -> str | None:
    """The class of a part of a scikit-learn estimator that has learned already."""
    parts = [made, *made.get_params().values()] if hasattr(made, "get_params") else []
    for part in parts:
        has_learned = any(name.endswith("_") for name in getattr(part, "__dict__", {}))
        if has_learned and hasattr(part, "fit") and not isinstance(part, type):
            return type(part).__name__
    return None


def _is_plain(model: Any) -> bool:
    """Whether a class is no scikit-learn estimator, which skops could store."""
    return not hasattr(model, "get_params")
