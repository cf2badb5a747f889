"""From an ensemble that AutoML found to a blend of compiled forms.

AutoML stands above this floor, so its classes are known by their names and what they hold. Families
whose learners are trees have a compiled form; with any other in it the ensemble itself serves.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from goldpath.compiled.compile_columns import Column, NotCompilableError, not_compilable
from goldpath.compiled.compile_lightgbm import compile_lightgbm
from goldpath.compiled.compile_trees import compile_boosting, compile_forest
from goldpath.compiled.compile_xgboost import compile_xgboost
from goldpath.compiled.form import (
    NUMBER,
    TABLE,
    Blend,
    BlendMember,
    CompiledForm,
    Encoder,
    Trees,
    Weights,
)
from goldpath.contract import Contract

LONGEST_TEXT = 100
"""Of a category; `automl.columns` cuts longer ones."""


def is_ensemble(model: Any) -> bool:
    """Whether a model is one of AutoML's."""
    return type(model).__module__.endswith(".automl.ensemble")


def compile_ensemble(model: Any, contract: Contract) -> CompiledForm:
    """An ensemble.

    Args:
        model: AutoML's `EnsembleClassifier` or `EnsembleRegressor`.
        contract: The contract that it was trained with.

    Raises:
        NotCompilableError: Names the part that has no compiled form.
    """
    numbers, known = tuple(contract.numeric_features), _known_values(model, contract)
    classes = tuple(str(label) for label in getattr(model, "classes_", ()))
    columns: dict[int, list[Column]] = {}
    members = []
    for member in model.members:
        forms = []
        for number, learner in zip(member.preparations, member.models, strict=True):
            if number not in columns:
                columns[number] = _columns(model.preparations[number], numbers, known)
            form = _compile_learner(learner, columns[number])
            if form.outputs_without_classes != max(len(classes), 1):
                raise NotCompilableError("a member of the ensemble that lacks a class")
            forms.append(replace(form, numbers=numbers, categories=known, classes=classes))
        members.append(BlendMember(float(member.weight), float(member.temperature), tuple(forms)))
    blend = Blend(
        tuple(members),
        temperature=float(getattr(model, "temperature", 1.0)),
        shift=float(getattr(model, "shift", 0.0)),
        scale=float(getattr(model, "scale", 1.0)),
        lowest=getattr(model, "lowest", None),
    )
    bias = np.zeros(max(len(classes), 1))
    return CompiledForm(numbers, known, _nothing(), blend, bias, 1.0, "identity", classes)


def ensemble_rows(model: Any, contract: Contract) -> CompiledForm:
    """What a row's numbers and codes are for an ensemble; the form itself scores nothing."""
    numbers, known = tuple(contract.numeric_features), _known_values(model, contract)
    nothing = Weights(np.empty((1, 0)))
    return CompiledForm(numbers, known, _nothing(), nothing, np.zeros(1), 1.0, "identity", ())


def _nothing() -> Encoder:
    """A blend's members encode for themselves."""
    return Encoder(
        kind=np.empty(0, dtype=np.uint8),
        source=np.empty(0, dtype=np.int32),
        fill=np.empty(0),
        centre=np.empty(0),
        scale=np.empty(0),
        offset=np.empty(0, dtype=np.int32),
        table=np.empty(0),
    )


def _known_values(model: Any, contract: Contract) -> dict[str, tuple[str, ...]]:
    """The category features' values: the contract's, and what the preparations saw beside them."""
    seen: dict[str, set[str]] = {name: set() for name in contract.category_features}
    for feature in contract.features:
        if feature.name in seen:
            seen[feature.name] |= set(feature.categories or ())
    for preparation in model.preparations:
        for name, values in preparation.categories_.items():
            if name in seen:
                seen[name] |= {str(value) for value in values if str(value)}
    return {name: tuple(sorted(values)) for name, values in seen.items()}


def _columns(
    preparation: Any, numbers: tuple[str, ...], known: dict[str, tuple[str, ...]]
) -> list[Column]:
    """What `TablePreparation` makes of a row for trees: numbers, codes of few categories, means."""
    if preparation.form != "trees":
        raise NotCompilableError(f"columns that AutoML prepares as {preparation.form!r}")
    kinds = dict(zip(preparation.columns_, map(str, preparation.kinds_), strict=True))
    made: dict[str, list[Column]] = {"number": [], "few_categories": [], "many_categories": []}
    for name, kind in kinds.items():
        if kind in ("identifier", "constant"):
            continue
        if kind == "number" and name in numbers:
            made[kind].append(Column(NUMBER, numbers.index(name)))
        elif kind in ("few_categories", "many_categories") and name in known:
            made[kind] += _category_columns(preparation, str(name), kind, known)
        else:
            raise NotCompilableError(f"a column that AutoML reads as {kind}")
    return [column for columns in made.values() for column in columns]


def _category_columns(
    preparation: Any, name: str, kind: str, known: dict[str, tuple[str, ...]]
) -> list[Column]:
    source = list(known).index(name)
    places = {str(value): place for place, value in enumerate(preparation.categories_[name])}
    unknown = len(places)
    found = [places.get(value.strip()[:LONGEST_TEXT], unknown) for value in known[name]]
    # A missing value is empty text, which is known only where training had one.
    codes = np.array([*found, unknown, places.get("", unknown)])
    if kind == "few_categories":
        return [Column(TABLE, source, values=np.where(codes == unknown, np.nan, codes))]
    means = np.asarray(preparation.codes_[name], dtype=np.float64)[codes]
    return [Column(TABLE, source, values=column) for column in means.T]


def _compile_learner(learner: Any, columns: list[Column]) -> CompiledForm:
    kind = type(learner).__name__
    if kind == "XGBoostModel":
        return compile_xgboost(learner.__getstate__()["text"], columns)
    if kind == "LightGBMModel":
        return compile_lightgbm(learner.__getstate__()["text"], columns, single=True)
    compilers: dict[str, Callable[[Any, list[Column]], CompiledForm]] = {
        "HistogramModel": compile_boosting,
        "ForestModel": compile_forest,
    }
    if kind not in compilers:
        raise not_compilable(learner)
    form = compilers[kind](learner.model, columns)
    if not isinstance(form.model, Trees):
        raise not_compilable(learner)
    # AutoML's rows are float32.
    return replace(form, model=replace(form.model, single=True))
