"""What exists, what is missing, and which command brings it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from goldpath.contract import Contract, parse_contract
from goldpath.errors import ProjectError
from goldpath.features.learned import changed_features, learned_contract
from goldpath.jobs.batch.plans import unfinished_run
from goldpath.jobs.data.source_tables import noted_faults
from goldpath.jobs.models.summaries import definitions_said, states_of_models
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import TableName
from goldpath.lake.tables import (
    bronze_table,
    gold_table,
    predictions_table,
    quarantine_table,
    silver_table,
)
from goldpath.model_version import ModelVersion
from goldpath.models.folders import with_model
from goldpath.overlay import changed_keys, overlay_file
from goldpath.project import unused_definitions
from goldpath.registry.layout import CONTRACT_FILE
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.row_contract import RowContract
from goldpath.settings import Settings
from goldpath.source_contract import SourceContract, load_sources, unused_parts

SOURCE_LAYERS = (bronze_table, silver_table, quarantine_table)


@dataclass(frozen=True)
class ProjectStatus:
    """The project at a glance.

    Attributes:
        dataset: Names the tables and the model.
        problem: Classification or regression.
        tables: The lake's tables with their rows, those of the further sources last.
        champion: The version that serves, and where its features are not the project's.
        definitions: Whose families, steps and routes are used.
        row_features: What is computed from a request's columns.
        window_features: What is computed from the further sources, by entity and time.
        broken_sources: Further sources that the last `data` left as they were, with what is wrong.
        environment: Which one, and the settings that its own file changes.
        servers: The background servers that run, with what had to be started again.
        models: Each further model, with what it predicts and its champion.
        next_command: What to do now.
    """

    dataset: str
    problem: str
    tables: dict[str, str]
    champion: str
    definitions: str
    row_features: tuple[str, ...]
    window_features: tuple[str, ...]
    broken_sources: dict[str, str]
    environment: str
    servers: Mapping[str, str]
    models: Mapping[str, str]
    next_command: str


def project_status(
    settings: Settings, contract: Contract, servers: Mapping[str, str] | None = None
) -> ProjectStatus:
    """Look at the lake and the registry; nothing is changed and nothing must exist.

    A store that does not answer is named, and what to do about it comes before everything else.

    Args:
        settings: The project's settings.
        contract: What a row is.
        servers: The background servers that run, in words.
    """
    try:
        sources, sources_next = load_sources(settings.root, contract.base), ""
        unused = unused_parts(settings.root, contract.base)
    except ProjectError as error:
        sources, sources_next = (), f"{error.message}: {error.fix}"
        unused = unused_definitions(contract.base)
    tables, lake_next = _tables(settings, contract, sources)
    try:
        learned, features_next = learned_contract(settings, contract), ""
    except ProjectError as error:
        learned, features_next = contract, f"correct project.py: {error.message}"
    champion, registry_next = _champion(settings, learned)
    own = unused or f"those of {settings.project.name}"
    if settings.model and not unused:
        own = definitions_said(settings)
    broken = _broken_sources(settings, sources)
    sources_next = sources_next or "; ".join(broken.values())
    models, models_next = states_of_models(settings)
    following = features_next or sources_next or lake_next or registry_next or models_next
    return ProjectStatus(
        dataset=contract.dataset,
        problem=contract.problem,
        tables=tables,
        champion=champion,
        definitions=own,
        row_features=tuple(each.name for each in learned.row_features),
        window_features=tuple(each.name for each in learned.window_features),
        broken_sources=broken,
        environment=_environment(settings),
        servers=servers or {},
        models=models,
        next_command=with_model(following or "make serve", settings.model),
    )


def _broken_sources(settings: Settings, sources: Sequence[SourceContract]) -> dict[str, str]:
    try:
        return noted_faults(open_lakehouse(settings), sources)
    except ProjectError:
        return {}  # that the lake does not answer is said of its tables


def _environment(settings: Settings) -> str:
    changed = changed_keys(settings.root)
    said = f"; {overlay_file()} changes {', '.join(changed)}" if changed else ""
    return settings.environment + said


def _tables(
    settings: Settings, contract: Contract, sources: Sequence[SourceContract]
) -> tuple[dict[str, str], str]:
    """The tables with their rows, and what is to be done for the lake."""
    named: list[tuple[TableName, RowContract]] = [
        *((layer(contract), contract) for layer in SOURCE_LAYERS),
        (gold_table(contract), contract),
        (predictions_table(contract), contract),
        *((layer(each), each) for each in sources for layer in SOURCE_LAYERS),
    ]
    tables, missing = {}, False
    try:
        lakehouse = open_lakehouse(settings)
        for table, of in named:
            snapshot = lakehouse.snapshot(table)
            tables[str(table)] = f"{snapshot.rows} rows" if snapshot else "missing"
            last = gold_table(contract) if of is contract else silver_table(of)
            missing = missing or (snapshot is None and table == last)
        if unfinished := unfinished_run(lakehouse, contract):
            tables[str(predictions_table(contract))] += f"; {unfinished}"
    except ProjectError as error:
        return {"lake": f"unknown: {error.message}"}, error.fix or "make data"
    return tables, "make data" if missing else ""


def _champion(settings: Settings, contract: Contract) -> tuple[str, str]:
    """The champion, and what is to be done for the registry."""
    try:
        manager = MLflowManager(settings, contract)
        champion = manager.champion_version()
        newest = manager.newest_version() if champion is None else None
    except ProjectError as error:
        return f"unknown: {error.message}", error.fix or "make train-local"
    if champion is not None:
        return f"version {champion.version}{_other_features(manager, contract, champion)}", ""
    if newest is not None:
        return f"none; the newest version is {newest.version}", "make promote"
    return "none", "make train-local"


def _other_features(manager: MLflowManager, contract: Contract, champion: ModelVersion) -> str:
    """How the features that the champion computes differ from the project's."""
    try:
        text = manager.read_text(champion.run_id, CONTRACT_FILE)
        changes = changed_features(parse_contract(text), contract)
    except (ProjectError, OSError):
        return ""
    if not changes:
        return ""
    return f", which computes its own features; since then {', '.join(changes)}"
