"""The project's own definitions, loaded and tried without data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import ProjectError
from goldpath.project import ProjectDefinitionError, place_of, unused_definitions
from goldpath.row_contract import RowContract
from goldpath.settings import Settings
from goldpath.source_contract import load_sources

if TYPE_CHECKING:
    from goldpath.learning.family import Family


@dataclass(frozen=True)
class Definitions:
    """What a project hands over, by name.

    Attributes:
        project: Its name.
        used: Whether they are used with the present contract, or why not.
        recipes: Bronze, silver, gold: those that the project has.
        features: Window features' columns, and row features.
        families: What the search chooses from, and what it draws for each.
        metric: The main metric.
        metrics: Further ones.
        checks: The gate's own ones.
        training: The steps of a training.
        batch: The steps of a batch inference.
        routes: The service's own ones.
        settings: Sections of the settings.
        sources: The further sources of `config/sources`.
    """

    project: str
    used: str
    recipes: Sequence[str]
    features: Sequence[str]
    families: Mapping[str, str]
    metric: str
    metrics: Sequence[str]
    checks: Sequence[str]
    training: Sequence[str]
    batch: Sequence[str]
    routes: Sequence[str]
    settings: Sequence[str]
    sources: Sequence[str]


def check_definitions(settings: Settings, contract: Contract) -> Definitions:
    """Load everything that the project hands over, and try what can be tried without data.

    The file of each further source is read, each recipe is traced on the contract's columns, each
    feature is traced and written as SQL, and each family builds an estimator.

    Raises:
        ContractError: If a file of `config/sources` is wrong; names the key, the value and the fix.
        ProjectDefinitionError: Names file, line, name and fix of the first that cannot be used.
    """
    import ibis

    from goldpath.features.learned import with_own_features
    from goldpath.features.row.learned import definitions_of
    from goldpath.features.row.sql import with_sql_features
    from goldpath.features.window.lake_columns import with_window_columns
    from goldpath.jobs.data.recipes import recipes_digest, store_raw
    from goldpath.learning.decision.choice import require_tunable
    from goldpath.learning.decision.chosen import with_chosen_metrics
    from goldpath.learning.families import families_of, require_installed
    from goldpath.learning.metrics import main_metric

    sources = load_sources(settings.root, contract.dataset)
    project = settings.project
    recipes = project.recipes
    private = {"_source_file": "string", "_batch": "string", "_row_number": "int64"}
    raw = ibis.table({**dict.fromkeys(contract.raw_columns, "string"), **private}, name="raw")
    recipes_digest(store_raw(raw, contract, recipes), contract, recipes)
    learned = with_own_features(contract, project, sources)
    model = with_chosen_metrics(project.definitions, learned, settings.training, settings.decision)
    silver = ibis.table(_columns(contract), name="silver")
    held = {each.dataset: ibis.table(_columns(each), name=each.dataset) for each in sources}
    known = with_window_columns(silver, learned, held)
    ibis.to_sql(with_sql_features(definitions_of(learned), known), dialect="duckdb")
    require_tunable(learned, settings.decision, model)
    families = families_of(model, settings.training.families)
    require_installed(families)
    for family in families.values():
        _check_family(family, learned)
    return Definitions(
        project=project.name,
        used=unused_definitions(contract.dataset) or "yes",
        recipes=[name for name in ("bronze", "silver", "gold", "aws") if getattr(recipes, name)],
        features=[each.name for each in learned.computed_features],
        families={each.name: _spoken_space(each, learned) for each in families.values()},
        metric=main_metric(contract, model.metric),
        metrics=[each.name for each in model.metrics],
        checks=list(model.validators),
        training=[_name(each) for each in model.training],
        batch=[_name(each) for each in model.batch],
        routes=[
            str(getattr(route, "path", route))
            for router in project.extensions.routers
            for route in router.routes
        ],
        settings=list(project.sections),
        sources=[each.dataset for each in sources],
    )


def _columns(contract: RowContract) -> dict[str, str]:
    """Silver's columns with their types."""
    from goldpath.jobs.data.recipes import TYPES

    time = {EVENT_TIME: "timestamp"} if contract.has_time else {}
    who = dict.fromkeys([contract.entity_column, *contract.identifiers], "string")
    return {**who, **time, **{each.name: TYPES[each.type] for each in contract.features}}


def _check_family(family: "Family", contract: Contract) -> None:
    """Build the family's estimator as the search's first trial does.

    Raises:
        ProjectDefinitionError: If it cannot be built, or gives no probabilities where they are
            needed.
    """
    from goldpath.learning.foreign import ForeignModel
    from goldpath.learning.space import RecordingTrial

    place = place_of(family.function)
    try:
        family.space(contract)
        model = family.build(contract, family.suggest(RecordingTrial(family.defaults), contract), 0)
    except ProjectError:
        raise
    except Exception as error:
        raise ProjectDefinitionError(
            f"{place}: the family {family.name} cannot be built: {type(error).__name__}: {error}",
            "return an unfitted scikit-learn estimator",
        ) from error
    if isinstance(model, ForeignModel):
        return
    needed = "predict" if contract.problem == "regression" else "predict_proba"
    if not hasattr(model, needed):
        last = model.steps[-1][1] if hasattr(model, "steps") else model
        raise ProjectDefinitionError(
            f"{place}: the family {family.name} returns {type(last).__name__}, which has no "
            f"{needed}",
            "give probabilities: wrap it in CalibratedClassifierCV, or choose another estimator"
            if needed == "predict_proba"
            else "return a regressor",
        )


def _spoken_space(family: "Family", contract: Contract) -> str:
    return ", ".join(f"{name} {drawn}" for name, drawn in family.space(contract).items())


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", function))
