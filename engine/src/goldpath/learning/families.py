"""The engine's own families of models, for projects that hand over none; and the trusted types.

Only scikit-learn's own classes are used, so that a model is stored by skops and loaded with the
allow-list below, never with pickle. The list also holds what AutoML's ensembles are made of.
`libraries.py` has further families, which the settings choose by name.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.learning.columns import Columns
from goldpath.learning.family import Family, Trial, family
from goldpath.learning.libraries import LIBRARIES
from goldpath.learning.segments.family import FAMILY, segments
from goldpath.learning.stored import stored_types
from goldpath.project import Model

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TRUSTED_TYPES = (
    "goldpath.automl.learners.boosting.HistogramModel",
    "goldpath.automl.learners.boosting.LightGBMModel",
    "goldpath.automl.learners.boosting.XGBoostModel",
    "goldpath.automl.clustering.ClusterModel",
    "goldpath.automl.ensemble.EnsembleClassifier",
    "goldpath.automl.ensemble.EnsembleRegressor",
    "goldpath.automl.ensemble.Member",
    "goldpath.automl.learners.scikit.ConstantModel",
    "goldpath.automl.learners.scikit.ForestModel",
    "goldpath.automl.learners.scikit.KernelModel",
    "goldpath.automl.learners.scikit.LinearModel",
    "goldpath.automl.learners.scikit.NeighboursModel",
    "goldpath.automl.learners.neural.NetworkModel",
    "goldpath.automl.preparation.TablePreparation",
    "goldpath.learning.boosters.LightGBMTrees",
    "goldpath.learning.boosters.XGBoostTrees",
    "goldpath.learning.foreign.ForeignModel",
    "goldpath.learning.segments.model.SegmentModel",
    "goldpath.learning.text.vectors.TextVectors",
    "collections.OrderedDict",
    "lightgbm.basic.Booster",  # its state is LightGBM's own text, which holds no code
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "functools.partial",  # of a trusted function only: skops audits what is inside
    "numpy.dtype",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)
"""The types beyond skops's own list that a model of ours holds. A model's file cannot add to it."""


@family(
    defaults={
        "learning_rate": 0.1,
        "max_iter": 100,
        "max_leaf_nodes": 31,
        "min_samples_leaf": 20,
        "l2_regularization": 1e-6,
    }
)
def boosting(trial: Trial, columns: Columns) -> "Pipeline":
    """Gradient boosting on histograms."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import Pipeline

    kind = (
        HistGradientBoostingClassifier
        if columns.is_classification
        else HistGradientBoostingRegressor
    )
    model = kind(
        random_state=columns.seed,
        categorical_features=columns.coded_categories,
        learning_rate=trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        max_iter=trial.suggest_int("max_iter", 50, 400, log=True),
        max_leaf_nodes=trial.suggest_int("max_leaf_nodes", 5, 63, log=True),
        min_samples_leaf=trial.suggest_int("min_samples_leaf", 5, 100, log=True),
        l2_regularization=trial.suggest_float("l2_regularization", 1e-6, 10, log=True),
    )
    return Pipeline([("columns", columns.coded()), ("model", model)])


@family(defaults={"regularisation": 1.0, "kept_share": 1.0})
def linear(trial: Trial, columns: Columns) -> "Pipeline":
    """Logistic or ridge regression on scaled numbers and one-hot categories."""
    from sklearn.feature_selection import SelectPercentile, f_classif, f_regression
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import Pipeline

    strength = trial.suggest_float("regularisation", 1e-3, 1e3, log=True)
    # Selection by an F test on the encoded columns, inside the pipeline, so that a fold's
    # validation rows have no say. Boosting selects by its splits.
    kept = trial.suggest_categorical("kept_share", [1.0, 0.5, 0.25])
    test = f_classif if columns.is_classification else f_regression
    selection = [("selection", SelectPercentile(test, percentile=100 * kept))] if kept < 1 else []
    model = (
        LogisticRegression(C=1 / strength, max_iter=500)
        if columns.is_classification
        else Ridge(alpha=strength)
    )
    return Pipeline([("columns", columns.encoded()), *selection, ("model", model)])


FAMILIES: Mapping[str, Family] = {each.name: each for each in (boosting, linear)}
"""The families that are tried where neither project nor settings name any, by name."""

BUILT_IN: Mapping[str, Family] = {**FAMILIES, **LIBRARIES}
"""All of the engine's own families by name."""

EXTRAS = {
    "lightgbm": "the package lightgbm is in the engine's extras core and serving",
    "xgboost": "the package xgboost-cpu is in the engine's extra automl",
    "catboost": "the package catboost is in the engine's extra catboost",
}
"""Where what a built-in family requires comes from."""


def families_of(definitions: Model, names: Sequence[str] = ()) -> Mapping[str, Family]:
    """The families that a model is searched among, by name.

    Args:
        definitions: The project's own families.
        names: Those that the settings choose, of the project's own and of the engine's; the
            project's own where empty, and the engine's default ones where it has none.

    Raises:
        ProjectDefinitionError: If two of the project's have one name, or a name is unknown.
    """
    own = {each.name: each for each in definitions.families}
    if len(own) < len(definitions.families):
        listed = [each.name for each in definitions.families]
        raise ProjectDefinitionError(
            f"two families have one name: {', '.join(listed)}", "rename one: @family(name=…)"
        )
    if not names:
        return own or FAMILIES
    known = {**BUILT_IN, **own}
    if unknown := [name for name in names if name not in known]:
        raise ProjectDefinitionError(
            f"training.families names {', '.join(map(repr, unknown))}; there are "
            f"{', '.join(known)}",
            "correct it in training.yaml of config/ or of models/NAME, or hand the family over in "
            "`families=` of project.py",
        )
    return {name: known[name] for name in names}


def family_named(definitions: Model, name: str) -> Family:
    """A family by its name: the project's own, or the engine's.

    Raises:
        ProjectDefinitionError: If there is none of that name.
    """
    known = {**BUILT_IN, FAMILY: segments, **families_of(definitions)}
    if name not in known:
        raise ProjectDefinitionError(
            f"there is no family {name!r}; there are {', '.join(known)}",
            "hand it over in `families=` of project.py, or train anew",
        )
    return known[name]


def require_installed(families: Mapping[str, Family]) -> None:
    """Refuse a family whose library is not there, before anything is fitted.

    A native library that is there may lack one of its own (OpenMP's), so it is imported.

    Raises:
        ProjectDefinitionError: Names the family, the library and what to install.
    """
    for each in families.values():
        for module in each.requires:
            try:
                import_module(module)
            except (ImportError, OSError) as error:
                raise ProjectDefinitionError(
                    f"{place_of(each.function)}: the family {each.name} needs {module}, which "
                    f"cannot be imported: {error}",
                    f"{EXTRAS.get(module, 'name its package')}: add it in pyproject.toml to core "
                    "(and to serving, unless the compiled model serves), then: make lock setup",
                ) from error


def trusted_types(definitions: Model) -> tuple[str, ...]:
    """What loading a model may make, beyond skops's own list."""
    families = (*LIBRARIES.values(), *definitions.families)
    declared = [name for each in families for name in each.trusted]
    return tuple(dict.fromkeys((*TRUSTED_TYPES, *declared, *stored_types())))
