"""From a fitted pipeline, or an ensemble that AutoML found, to the compiled form.

What can be compiled is listed by type. Anything else is refused with its name, and then the
pipeline itself serves; a part that is only similar is never guessed at.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from goldpath.compiled.compile_catboost import compile_catboost
from goldpath.compiled.compile_columns import (
    Category,
    Column,
    NotCompilableError,
    encoders,
    make_form,
    not_compilable,
    plain,
    transform,
)
from goldpath.compiled.compile_ensemble import compile_ensemble, ensemble_rows, is_ensemble
from goldpath.compiled.compile_lightgbm import compile_lightgbm
from goldpath.compiled.compile_linear import compile_logistic, compile_ridge
from goldpath.compiled.compile_trees import compile_boosting, compile_forest
from goldpath.compiled.compile_xgboost import compile_xgboost
from goldpath.compiled.form import NUMBER, CompiledForm, Weights, check_form
from goldpath.contract import Contract

__all__ = ["NotCompilableError", "compile_pipeline"]


def compile_pipeline(pipeline: Any, contract: Contract) -> CompiledForm:
    """Compile a fitted pipeline.

    Args:
        pipeline: A scikit-learn `Pipeline` over `model_frame`'s columns.
        contract: The contract that it was trained with.

    Raises:
        NotCompilableError: Names the part that has no compiled form.
    """
    _refuse_texts(contract)
    if is_ensemble(pipeline):
        ensemble = compile_ensemble(pipeline, contract)
        check_form(ensemble)
        return ensemble
    numbers, known, columns = _before_the_model(pipeline, contract)
    model = pipeline.steps[-1][1]
    compile_model = _of_a_library(model)
    for kind, of_scikit in _models():
        if type(model) is kind:
            compile_model = of_scikit
    if compile_model is None:
        raise not_compilable(model)
    form = compile_model(model, columns)
    whole = replace(form, numbers=numbers, categories=known, classes=_classes(model, contract))
    check_form(whole)
    return whole


def compile_encoder(pipeline: Any, contract: Contract) -> CompiledForm:
    """Compile everything before the last step; the form's answers are the last step's columns.

    Args:
        pipeline: A scikit-learn `Pipeline` over `model_frame`'s columns, or an ensemble of AutoML,
            which has no step before it.
        contract: The contract that it was trained with.

    Raises:
        NotCompilableError: Names the part that has no compiled form.
    """
    _refuse_texts(contract)
    if is_ensemble(pipeline):
        return ensemble_rows(pipeline, contract)
    numbers, known, columns = _before_the_model(pipeline, contract)
    form = make_form(columns, Weights(np.eye(len(columns))), np.zeros(len(columns)), "identity")
    return replace(form, numbers=numbers, categories=known)


def _refuse_texts(contract: Contract) -> None:
    if contract.text_features:
        raise NotCompilableError(
            f"the words of a free text ({', '.join(contract.text_features)}) have no compiled form",
            "the pipeline itself serves",
        )


def _before_the_model(
    pipeline: Any, contract: Contract
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], list[Column]]:
    """Names of the numbers, the categories' known values, and the columns that the model sees."""
    from sklearn.pipeline import Pipeline

    if type(pipeline) is not Pipeline:
        raise not_compilable(pipeline)
    names = contract.feature_names
    numbers = tuple(contract.numeric_features)
    known = _known_values(pipeline, contract)
    places: list[Column | Category] = []
    for name in names:
        if name in known:
            places.append(Category(list(known).index(name), known[name]))
        else:
            places.append(Column(NUMBER, numbers.index(name)))
    columns: list[Any] = list(places)
    at_names: Sequence[str] | None = names
    for _, step in pipeline.steps[:-1]:
        columns, at_names = transform(step, columns, at_names), None
    return numbers, known, plain(columns)


def _classes(model: Any, contract: Contract) -> tuple[str, ...]:
    if contract.problem == "regression":
        return ()
    return tuple(str(label) for label in model.classes_)


def _known_values(pipeline: Any, contract: Contract) -> dict[str, tuple[str, ...]]:
    """The category features' values: the contract's, and what the encoders saw beside them."""
    seen: dict[str, set[str]] = {name: set() for name in contract.category_features}
    for feature in contract.features:
        if feature.name in seen and feature.categories:
            seen[feature.name] |= set(feature.categories)
    for names, encoder in encoders(pipeline, contract.feature_names):
        for name, values in zip(names, encoder.categories_, strict=True):
            seen[name] |= {value for value in values if isinstance(value, str)}
    return {name: tuple(sorted(values)) for name, values in seen.items()}


def _models() -> list[tuple[type, Callable[[Any, list[Column]], CompiledForm]]]:
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.linear_model import LogisticRegression, Ridge

    return [
        (HistGradientBoostingClassifier, compile_boosting),
        (HistGradientBoostingRegressor, compile_boosting),
        (ExtraTreesClassifier, compile_forest),
        (ExtraTreesRegressor, compile_forest),
        (RandomForestClassifier, compile_forest),
        (RandomForestRegressor, compile_forest),
        (LogisticRegression, compile_logistic),
        (Ridge, compile_ridge),
    ]


def _of_a_library(model: Any) -> Callable[[Any, list[Column]], CompiledForm] | None:
    """What compiles a model of another library, which is not imported for that."""

    def lightgbm_text(model: Any, columns: list[Column]) -> CompiledForm:
        return compile_lightgbm(model.text_, columns, single=False)

    def lightgbm_model(model: Any, columns: list[Column]) -> CompiledForm:
        return compile_lightgbm(model.booster_.model_to_string(), columns, single=False)

    def xgboost_text(model: Any, columns: list[Column]) -> CompiledForm:
        return compile_xgboost(model.text_, columns)

    def xgboost_model(model: Any, columns: list[Column]) -> CompiledForm:
        return compile_xgboost(model.get_booster().save_raw("json").decode(), columns)

    compilers: dict[str, Callable[[Any, list[Column]], CompiledForm]] = {
        "goldpath.learning.boosters.LightGBMTrees": lightgbm_text,
        "goldpath.learning.boosters.XGBoostTrees": xgboost_text,
        "lightgbm.sklearn.LGBMClassifier": lightgbm_model,
        "lightgbm.sklearn.LGBMRegressor": lightgbm_model,
        "xgboost.sklearn.XGBRegressor": xgboost_model,
        "catboost.core.CatBoostClassifier": compile_catboost,
        "catboost.core.CatBoostRegressor": compile_catboost,
    }
    return compilers.get(f"{type(model).__module__}.{type(model).__qualname__}")
