"""The project's own definitions, loaded and tried without data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import ProjectError
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.jobs.every_model import further_contracts
from goldpath.jobs.models.summaries import definitions_said
from goldpath.models.folders import other_folders
from goldpath.models.main_contract import require_apart
from goldpath.row_contract import RowContract
from goldpath.settings import Settings
from goldpath.source_contract import load_sources, unused_parts

if TYPE_CHECKING:
    from goldpath.learning.family import Family

USED = "yes"
SHARED = ("project", "recipes", "routes", "settings", "sources", "dags")
"""What all models of a project have in common."""


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
        answer_fields: Fields of an answer, with what they are.
        hooks: Functions that are called before and after an answer.
        service_metrics: The service's metrics of each prediction, with what they are.
        settings: Sections of the settings.
        sources: The further sources of `config/sources`.
        dags: Whether what the DAGs know of the project is up to date.
        doubtful: Metrics and checks that failed on made-up rows, as real ones may not make them.
        models: The same of each further model, by name.
        folders_without_model: Folders in `models/` without a project.yaml, which no command reads.
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
    answer_fields: Mapping[str, str]
    hooks: Sequence[str]
    service_metrics: Mapping[str, str]
    settings: Sequence[str]
    sources: Sequence[str]
    dags: str
    doubtful: tuple[str, ...] = ()
    models: Mapping[str, "Definitions"] = field(default_factory=dict)
    folders_without_model: tuple[str, ...] = ()


def check_all_definitions(settings: Settings, contract: Contract) -> Definitions:
    """As `check_definitions`, and then the same of each further model.

    Raises:
        ProjectError: Of the first model that cannot be used; names its file or its line.
    """
    from goldpath.jobs.answer_fields import require_same_kinds

    found = check_definitions(settings, contract)
    further = further_contracts(settings)
    hooks = [each.project.own_hooks for each in (settings, *(own for own, _ in further))]
    require_same_kinds([metric for each in hooks if each for metric in each.metrics])
    require_apart((contract, *(each for _, each in further)), load_sources(settings.root))
    models = {each.model: check_definitions(each, of) for each, of in further}
    others = () if settings.model else other_folders(settings.root)
    return replace(found, models=models, folders_without_model=others)


def for_people(found: Definitions) -> dict[str, Any]:
    """The same as `check` prints it: of a further model only what is its own."""
    values = _told(asdict(found))
    values["models"] = {
        name: {key: value for key, value in _told(model).items() if key not in SHARED}
        for name, model in values["models"].items()
    }
    return values


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that only say that all is as it should be."""
    usual = {"used": USED, "doubtful": ()}
    return {key: value for key, value in values.items() if usual.get(key, ...) != value}


def check_definitions(settings: Settings, contract: Contract) -> Definitions:
    """Load everything that the project hands over, and try what can be tried without data.

    The file of each further source is read, each recipe is traced on the contract's columns, each
    feature is traced and written as SQL, each family builds an estimator, and the metrics and
    checks of the gate judge made-up rows.

    Raises:
        ContractError: If a file of `config/sources` is wrong; names the key, the value and the fix.
            Or if a column clashes with one that the predictions table adds.
        ValidationSetupError: If a check of the gate has no method `validate`.
        OrchestrationError: If `config/airflow.yaml` has a schedule of a DAG that there is not.
        ProjectDefinitionError: Names file, line, name and fix of the first that cannot be used.
    """
    import ibis

    from goldpath.features.event_labels import event_source
    from goldpath.features.learned import with_own_features
    from goldpath.features.row.learned import definitions_of
    from goldpath.features.row.sql import with_sql_features
    from goldpath.features.window.lake_columns import with_window_columns
    from goldpath.jobs.answer_fields import answered_segments, require_answers, require_metrics
    from goldpath.jobs.batch.answer_columns import require_free_names
    from goldpath.jobs.batch.table import STEPS
    from goldpath.jobs.data.recipes import recipes_digest, store_raw
    from goldpath.jobs.orchestration import dags_state
    from goldpath.jobs.step_order import checked_steps
    from goldpath.jobs.training.stages import training_steps
    from goldpath.jobs.tried_judges import require_judges
    from goldpath.judging.limits import require_gates
    from goldpath.learning.decision.choice import as_trained, require_tunable
    from goldpath.learning.decision.chosen import with_chosen_metrics
    from goldpath.learning.families import families_of, require_installed
    from goldpath.learning.metrics import main_metric
    from goldpath.learning.segments.family import FAMILY, segments_within
    from goldpath.learning.segments.limits import require_usable
    from goldpath.serving.answers.hooks import Hooks
    from goldpath.serving.answers.own_fields import answer_fields

    sources = load_sources(settings.root, contract.base)
    if contract.target.event:
        event_source(contract, sources)
    project = settings.project
    recipes = project.recipes
    private = {"_source_file": "string", "_batch": "string", "_row_number": "int64"}
    raw = ibis.table({**dict.fromkeys(contract.raw_columns, "string"), **private}, name="raw")
    recipes_digest(store_raw(raw, contract, recipes), contract, recipes)
    require_free_names(contract)
    learned = with_own_features(contract, project, sources)
    model = with_chosen_metrics(project.definitions, learned, settings.training, settings.decision)
    target = "float64" if contract.problem == "regression" else "string"
    labels = dict.fromkeys(contract.label_columns, target)
    silver = ibis.table({**_columns(contract), **labels}, name="silver")
    held = {each.dataset: ibis.table(_columns(each), name=each.dataset) for each in sources}
    known = with_window_columns(silver, learned, {**held, contract.dataset: silver})
    ibis.to_sql(with_sql_features(definitions_of(learned), known), dialect="duckdb")
    require_usable(learned, settings, project.definitions)
    require_tunable(learned, settings.decision, model)
    checks = require_gates(learned, settings, model)
    families = families_of(model, settings.training.families)
    if not contract.has_target:
        families = {FAMILY: segments_within(settings.training.clusters)}
    require_installed(families)
    fields = answer_fields(project.own_answer_fields)
    decided = as_trained(learned, settings.decision, answered_segments(settings, learned))
    require_answers(fields, contract, decided)
    hooks = project.own_hooks or Hooks()
    training_steps(settings)
    checked_steps(tuple(model.batch), STEPS, "batch")
    _check_routes(settings, contract)
    require_metrics(hooks.metrics, contract, decided)
    for family in families.values():
        _check_family(family, learned)
    return Definitions(
        project=project.name,
        used=_used(settings, contract),
        recipes=[name for name in ("bronze", "silver", "gold", "aws") if getattr(recipes, name)],
        features=[each.name for each in learned.computed_features],
        families={each.name: _spoken_space(each, learned) for each in families.values()},
        metric=main_metric(contract, model.metric),
        metrics=[each.name for each in model.metrics],
        checks=checks,
        training=[_name(each) for each in model.training],
        batch=[_name(each) for each in model.batch],
        routes=[
            str(getattr(route, "path", route))
            for router in project.extensions.routers
            for route in router.routes
        ],
        answer_fields={each.name: each.described for each in fields},
        hooks=hooks.names,
        service_metrics={each.name: each.described for each in hooks.metrics},
        settings=list(project.sections),
        sources=[each.dataset for each in sources],
        dags=dags_state(settings, contract),
        doubtful=require_judges(decided, settings, project.definitions),
    )


def _used(settings: Settings, contract: Contract) -> str:
    """Whether the project's definitions are used, or why not."""
    if unused := unused_parts(settings.root, contract.base):
        return unused
    is_named = not settings.model or settings.model in settings.project.models
    return USED if is_named else definitions_said(settings)


def _check_routes(settings: Settings, contract: Contract) -> None:
    """Make the service's app, in a folder of its own, as its start would.

    Raises:
        ProjectDefinitionError: If a router answers what the service answers; names file and line.
    """
    if not settings.project.extensions.routers:
        return
    from goldpath.serving.api import app_around
    from goldpath.serving.serving_core import ServingCore

    with TemporaryDirectory(prefix="check-") as name:
        root = Path(name)
        (root / "config").symlink_to(settings.root / "config")
        core = ServingCore(settings.model_copy(update={"root": root}), contract)
        for each, of in further_contracts(settings):
            own = each.model_copy(update={"root": root})
            core.further[each.model] = ServingCore(own, of, main=core)
        try:
            app_around(core)
        finally:
            for close in reversed(core.at_end):
                close()


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
