"""What Airflow's DAGs have to know of the project, written where they can read it.

Airflow's environment has neither goldpath nor the project's package. So `describe` writes the
steps, sources and parameters to `airflow/dags/pipeline.json`, which lies in git beside the DAGs.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from goldpath.contract import Contract
from goldpath.errors import CheckFailedError, ProjectError
from goldpath.features.learned import learned_contract
from goldpath.jobs.data.refresh import needed_by_models
from goldpath.jobs.every_model import further_contracts
from goldpath.jobs.training.stages import STAGE_OF, training_steps
from goldpath.jobs.training.steps import register_candidate
from goldpath.models.folders import further_models
from goldpath.settings import AirflowSettings, Settings
from goldpath.settings.training import TrainingSettings
from goldpath.source_contract import load_sources

DAGS = "airflow/dags"
FILE = f"{DAGS}/pipeline.json"
RUNNER_VARIABLE = "PIPELINE_RUNNER"
DAG_NAME = re.compile(r"\b[dD][aA][gG]\(\s*[\"']([\w.-]+)[\"'](\s*\+\s*\w+\.end)?")
"""A DAG's name; `dag("NAME" + each.end, …)` makes one for each model."""


class OrchestrationError(ProjectError):
    """The project's DAGs and what they have to know do not fit each other."""


@dataclass(frozen=True)
class TrainingTask:
    """A step of the training as Airflow's task: its name, and the words of its command."""

    task: str
    command: Sequence[str]


@dataclass(frozen=True)
class FurtherModel:
    """A further model as Airflow's DAGs know it: the name of its tables, and its training."""

    dataset: str
    training: Sequence[TrainingTask]


@dataclass(frozen=True)
class PipelineDescription:
    """What the DAGs are made from.

    Attributes:
        package: `python -m PACKAGE` is the project's command line.
        dataset: The contract's table.
        sources: The further sources of `config/sources`, by name.
        needed_sources: Those that the gold table of a model is made from.
        windows: The columns that services look up in the online store, of all models.
        models: The main model of `project.py`, by name.
        training: The steps of a training in their order, without the last one, deploy.
        further: The further models, by name: each gets DAGs of its own.
        parameters: JSON schemas of what a run can be asked for, by name.
    """

    package: str
    dataset: str
    sources: Sequence[str]
    needed_sources: Sequence[str]
    windows: Sequence[str]
    models: Sequence[str]
    training: Sequence[TrainingTask]
    further: Mapping[str, FurtherModel]
    parameters: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Described:
    """What became of the description.

    Attributes:
        file: Where it is.
        state: `written`, or `up to date` where it said this already.
        tasks: The tasks of a training.
        sources: The further sources.
    """

    file: str
    state: str
    tasks: Sequence[str]
    sources: Sequence[str]


def describe(settings: Settings, contract: Contract) -> PipelineDescription:
    """What the DAGs have to know of this project.

    Raises:
        ContractError: If a file of `config/sources` is wrong.
        ProjectDefinitionError: If a feature or a step of the training cannot be used.
    """
    further = further_contracts(settings)
    return PipelineDescription(
        package=settings.project.name,
        dataset=contract.dataset,
        sources=[each.dataset for each in load_sources(settings.root, contract.base)],
        needed_sources=sorted(needed_by_models(settings, contract)),
        windows=_windows([(settings, contract), *further]),
        models=list(settings.project.models),
        training=_training_tasks(settings),
        further={
            each.model: FurtherModel(own.dataset, _training_tasks(each)) for each, own in further
        },
        parameters=_parameters(),
    )


def write_description(settings: Settings, contract: Contract) -> Described:
    """Write the description beside the DAGs.

    Raises:
        OrchestrationError: If the project has no folder for DAGs, or a schedule is of no DAG.
    """
    require_known_schedules(settings)
    description = describe(settings, contract)
    file, text = settings.root / FILE, _as_text(description)
    if not file.parent.is_dir():
        raise OrchestrationError(
            f"this project has no folder {DAGS}", "make template-update brings it"
        )
    state = "up to date"
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        draft = file.with_suffix(".draft")
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
        state = "written"
    tasks = [each.task for each in description.training]
    return Described(FILE, state, tasks, description.sources)


def renew_description(settings: Settings, contract: Contract) -> str:
    """Write the description anew after the contract or a source has changed.

    Returns:
        What to say of it; empty where the project has no DAGs, or nothing was to do.
    """
    if not (settings.root / DAGS).is_dir():
        return ""
    try:
        described = write_description(settings, contract)
    except ProjectError as error:
        return f"{FILE}, which Airflow's DAGs are made from, is as it was: {error}"
    return f"{FILE} was updated, for Airflow's DAGs" * (described.state == "written")


def require_current(settings: Settings, contract: Contract) -> Described:
    """Refuse a description that no longer is the project's, such as in CI.

    Raises:
        CheckFailedError: If it is missing or says something else; names what.
        OrchestrationError: If a schedule is of no DAG.
    """
    require_known_schedules(settings)
    if stale := staleness(settings, contract):
        raise CheckFailedError(stale, f"run make describe, and commit {FILE}")
    description = describe(settings, contract)
    tasks = [each.task for each in description.training]
    return Described(FILE, "up to date", tasks, description.sources)


def staleness(settings: Settings, contract: Contract) -> str:
    """What the description says otherwise than the project; empty where it is up to date."""
    file = settings.root / FILE
    now = json.loads(_as_text(describe(settings, contract)))
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"{FILE} is missing, from which the DAGs are made"
    except ValueError as error:
        return f"{FILE} is not JSON: {error}"
    if not isinstance(written, dict):
        return f"{FILE} holds a {type(written).__name__}, not an object"
    keys = sorted(key for key in {*now, *written} if now.get(key) != written.get(key))
    return f"{FILE} is not up to date: {', '.join(keys)}" if keys else ""


def dags_state(settings: Settings, contract: Contract) -> str:
    """The state of the description for `check`: a line to read."""
    if not (settings.root / DAGS).is_dir():
        return "no DAGs"
    if settings.model:
        return "told with the main model"
    require_known_schedules(settings)
    stale = staleness(settings, contract)
    state = f"{stale}; run make describe" if stale else "up to date"
    return "; ".join(filter(None, [state, unshared_folders(settings.airflow)]))


def unshared_folders(airflow: AirflowSettings) -> str:
    """What the chosen runner cannot do because its tasks share no folder; empty where they do.

    `ml_drift_monitoring` reads the report of its first step, and the record of earlier retrainings;
    the drift check of `ml_batch_inference_pipeline` reads its own former reports.
    """
    name = os.environ.get(RUNNER_VARIABLE) or airflow.runner
    own = {"docker": airflow.docker, "ecs": airflow.ecs, "kubernetes": airflow.kubernetes}.get(name)
    if own is None or own.shared_folders:
        return ""
    return (
        f"the runner {name} leaves reports/ and audit/ in each ended container, so "
        "ml_drift_monitoring is refused, and drift_check of ml_batch_inference_pipeline judges "
        "each run without the former ones: give the tasks volumes for reports/ and audit/ and set "
        f"{name}.shared_folders: true in config/airflow.yaml"
    )


def require_known_schedules(settings: Settings) -> None:
    """Refuse a schedule or a deadline that no DAG would ever read.

    Raises:
        OrchestrationError: If `airflow.schedules` or `airflow.deadline_minutes` names a DAG that no
            file makes; names those that there are.
    """
    own = [f"_{each}" for each in further_models(settings.root)]
    known = sorted(
        name + end
        for file in (settings.root / DAGS).glob("*.py")
        for name, each_model in DAG_NAME.findall(file.read_text(encoding="utf-8"))
        for end in ("", *(own if each_model else ()))
    )
    for field in ("schedules", "deadline_minutes"):
        for dag, value in getattr(settings.airflow, field).items():
            if dag not in known:
                raise OrchestrationError(
                    f"config/airflow.yaml: {field} has {dag}: {value}, and no file of {DAGS} "
                    "makes a DAG of that name",
                    f"the DAGs are {', '.join(known) or 'none'}",
                )


def _windows(models: Sequence[tuple[Settings, Contract]]) -> list[str]:
    learned = [learned_contract(settings, contract) for settings, contract in models]
    return list(dict.fromkeys(each.name for own in learned for each in own.window_features))


def _training_tasks(settings: Settings) -> list[TrainingTask]:
    """Each step as a task; those of the project's own are there in their places."""
    steps = training_steps(settings)
    tasks = []
    for each in steps:
        stage = STAGE_OF.get(each)
        if stage is None:
            command: tuple[str, ...] = ("training", "run-step", each.__name__)
        elif each is register_candidate and each is not steps[-1]:
            # `training register` would also do the project's own steps that follow.
            command = ("training", "run-step", each.__name__)
        else:
            command = ("training", stage)
        tasks.append(TrainingTask(stage or each.__name__, command))
    return tasks


def _parameters() -> dict[str, dict[str, Any]]:
    from goldpath.jobs.drift.current_rows import Source

    fields = TrainingSettings.model_json_schema()["properties"]
    sources = [name for name in get_args(Source) if name != "file"]
    return {
        "from": _optional(
            "string",
            "The first day of a period that is made anew; empty: what changed, or the run's "
            "interval.",
            format="date",
        ),
        "to": _optional("string", "The first day after the period.", format="date"),
        "trials": _optional(
            "integer",
            "Trials of the search; empty: the project's setting.",
            minimum=fields["trials"]["minimum"],
        ),
        "budget_seconds": _optional(
            "number",
            "No trial starts after this; empty: the project's setting.",
            exclusiveMinimum=fields["timeout_seconds"]["exclusiveMinimum"],
        ),
        "promote": {
            "type": "boolean",
            "default": True,
            "description": "Ask the gate to make it the champion. Off: a dry run, which ends with "
            "a registered version.",
        },
        "data": _optional(
            "string", "A file of the project's folder to score; empty: the gold table.", minLength=1
        ),
        "source": {
            "type": "string",
            "enum": sources,
            "default": sources[0],
            "description": "Which rows are compared; newest: what was scored last.",
        },
        "retrain": {
            "type": "boolean",
            "default": True,
            "description": "Train again where there is drift. Off: drift is only looked for.",
        },
        "days": _optional(
            "integer", "How many days back; empty: the project's setting.", minimum=1
        ),
    }


def _optional(kind: str, description: str, **limits: Any) -> dict[str, Any]:
    return {"type": ["null", kind], "default": None, "description": description, **limits}


def _as_text(description: PipelineDescription) -> str:
    values = asdict(description)
    if not description.further:  # files from before there were further models stay as they are
        del values["further"]
    return json.dumps(values, indent=2) + "\n"
