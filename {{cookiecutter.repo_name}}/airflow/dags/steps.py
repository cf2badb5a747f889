"""DAGs and tasks of this project: one task is one command of the project, see runners.py.

These files import Airflow and nothing of the project: Airflow lives in an environment of its own.
What they know of the project stands in pipeline.json beside them (`make describe` writes it), and
how they run in config/airflow.yaml. The environment says where the project is: PROJECT_ROOT (its
folder) and PROJECT_PYTHON (the interpreter of its environment).
"""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import (
    DAG,
    Asset,
    CronDataIntervalTimetable,
    DeadlineAlert,
    DeadlineReference,
    Param,
    SyncCallback,
)
from incidents import tell_failure, tell_late, tell_success
from runners import MODEL_VARIABLE, NOTHING_TO_DO, RUN_ID_VARIABLE, chosen_runner, step_class

PROJECT_ROOT = os.environ.get("PROJECT_ROOT") or str(Path(__file__).resolve().parents[2])
PIPELINE: dict[str, Any] = json.loads(Path(__file__).with_name("pipeline.json").read_text("utf-8"))

# What the tasks bring up to date; Airflow's page of assets has the number that each stood at.
DATASET = PIPELINE["dataset"]
GOLD = Asset(f"{DATASET} gold", f"lake://gold/{DATASET}")
CHAMPION = Asset(f"{DATASET} champion", f"mlflow://models/{DATASET}/champion")
PREDICTIONS = Asset(f"{DATASET} predictions", f"lake://predictions/{DATASET}")


@dataclass(frozen=True)
class ModelOfProject:
    """A model that has DAGs: the main one, and each with a folder models/NAME.

    Attributes:
        name: Empty for the main one.
        dataset: Names its tables and its registered model.
        training: The tasks of its training.
    """

    name: str
    dataset: str
    training: Sequence[Mapping[str, Any]]

    @property
    def end(self) -> str:
        """What the names of its DAGs end with."""
        return f"_{self.name}" if self.name else ""

    @property
    def tags(self) -> list[str]:
        """Its name, for Airflow's list of DAGs."""
        return [self.name] if self.name else list(PIPELINE["models"])

    @property
    def gold(self) -> Asset:
        """What its training reads."""
        return Asset(f"{self.dataset} gold", f"lake://gold/{self.dataset}")

    @property
    def champion(self) -> Asset:
        """The version that answers."""
        return Asset(f"{self.dataset} champion", f"mlflow://models/{self.dataset}/champion")

    @property
    def predictions(self) -> Asset:
        """What its batch inference writes."""
        return Asset(f"{self.dataset} predictions", f"lake://predictions/{self.dataset}")

    @property
    def data(self) -> dict[str, Asset]:
        """What the command `data` renews, by key of its result: for the main one, of all models."""
        further = [] if self.name else FURTHER
        names = {f"models.{each.name}.gold_snapshot": each.gold for each in further}
        return {"gold_snapshot": self.gold, **names}


# Without further models in pipeline.json there is the main one alone.
FURTHER = [ModelOfProject(name, **each) for name, each in PIPELINE.get("further", {}).items()]
MODELS = [ModelOfProject("", DATASET, PIPELINE["training"]), *FURTHER]
WHEN_ASSETS_ARE_NEW = "@assets"  # as a schedule, besides Airflow's own

# Every command has this variable. A word that starts with $ is a shell variable, see `step`.
RUN_ID = f"${RUN_ID_VARIABLE}"
SHARD_VARIABLE = "SHARD"


def read_settings(root: Path) -> dict[str, Any]:
    """config/airflow.yaml, and over it what this environment's file changes."""
    environment = os.environ.get("MLOPS_ENVIRONMENT") or "development"
    own = root / "config" / "environments" / f"{environment}.yaml"
    settings = yaml.safe_load((root / "config" / "airflow.yaml").read_text("utf-8")) or {}
    overlay = (yaml.safe_load(own.read_text("utf-8")) or {}) if own.is_file() else {}
    merged: dict[str, Any] = over(overlay.get("airflow") or {}, settings)
    groups = ("schedules", "deadline_minutes")
    return {**merged, **{name: merged.get(name) or {} for name in groups}}


def over(stronger: Any, weaker: Any) -> Any:
    """Values over weaker ones as everywhere in config/: key by key; an empty mapping replaces."""
    if not (isinstance(stronger, dict) and isinstance(weaker, dict)):
        return stronger
    changes = {
        key: over(value, weaker[key]) if value and key in weaker else value
        for key, value in stronger.items()
    }
    return {**weaker, **changes}


SETTINGS = read_settings(Path(PROJECT_ROOT))
BATCH_SHARDS = SETTINGS.get("batch_shards", 1)  # of a batch inference


def dag(
    name: str,
    document: str | None,
    *,
    tags: Sequence[str],
    parameters: Sequence[str] = (),
    params: Mapping[str, Param] | None = None,
    assets: Sequence[Asset] = (),
    schedule: Any = None,
) -> DAG:
    """A DAG whose schedule, owner, pool, retries and deadline are those of config/airflow.yaml.

    Alertmanager is told of its failures and missed deadlines, see incidents.py.

    Args:
        name: Its id; `schedules` of config/airflow.yaml names it so.
        document: The file's docstring: its first line is the description.
        tags: For Airflow's list.
        parameters: Names of pipeline.json that a run can be asked for; fields of the trigger form.
        params: Further ones, of your own.
        assets: With the schedule "@assets", it runs when each of these is new since its last run.
        schedule: Any of Airflow's; the one of config/airflow.yaml where not given.

    Returns:
        The DAG, to be used with `with`.
    """
    start = SETTINGS.get("start_date")
    return DAG(
        name,
        description=(document or "").partition("\n")[0],
        doc_md=document,
        tags=list(tags),
        schedule=schedule or schedule_of(name, assets),
        start_date=datetime.combine(start, datetime.min.time(), UTC) if start else None,
        catchup=SETTINGS.get("catchup", False),
        max_active_runs=1,  # two runs at once would race for the same tables and the same alias
        is_paused_upon_creation=False,  # without a schedule, nothing starts until somebody asks
        params={**{each: parameter(each) for each in parameters}, **(params or {})},
        deadline=deadline_of(name),
        on_success_callback=tell_success,
        default_args={
            "owner": SETTINGS.get("owner") or PIPELINE["package"],
            "pool": SETTINGS.get("pool", "default_pool"),
            "retries": SETTINGS.get("retries", 2),
            "retry_delay": timedelta(seconds=SETTINGS.get("retry_seconds", 30)),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=10),
            "execution_timeout": timedelta(minutes=SETTINGS.get("timeout_minutes", 120)),
            # A backfill has a limit of runs of its own; this holds there, too.
            "max_active_tis_per_dag": 1,
            "on_failure_callback": tell_failure,
        },
    )


def deadline_of(name: str) -> DeadlineAlert | None:
    """When a run of a DAG is late, by config/airflow.yaml; it is not ended then."""
    minutes = SETTINGS["deadline_minutes"].get(name)
    if not minutes:
        return None
    allowed = timedelta(minutes=minutes)
    return DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, allowed, SyncCallback(tell_late))


def schedule_of(name: str, assets: Sequence[Asset]) -> Any:
    """What config/airflow.yaml says; None where a DAG waits to be asked.

    Raises:
        ValueError: If the DAG is to run when its assets are new, and has none.
    """
    said = SETTINGS["schedules"].get(name)
    if said == WHEN_ASSETS_ARE_NEW:
        if not assets:
            raise ValueError(
                f"config/airflow.yaml: {name} has no assets to wait for; give it a preset or cron"
            )
        return list(assets)
    # A run of it covers the interval that ends when it starts; Airflow's own reading of "@daily"
    # has none.
    return CronDataIntervalTimetable(said, timezone="UTC") if said else None


def parameter(name: str) -> Param:
    """A parameter of pipeline.json: Airflow checks what it is given, and the form has a field."""
    schema = dict(PIPELINE["parameters"][name])
    return Param(schema.pop("default"), title=name.replace("_", " "), **schema)


RUNNER = chosen_runner(SETTINGS, PROJECT_ROOT)
Step = step_class(RUNNER)


def step(
    task_id: str,
    command: Sequence[str],
    *,
    asked: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    accepted: int | None = None,
    model: ModelOfProject = MODELS[0],
    shards: int = 0,
    **options: Any,
) -> Any:
    """A task that runs `python -m PACKAGE COMMAND` in the project's folder, by the chosen runner.

    The command's JSON result, its last line, becomes the task's XCom. Values known only at run
    time come as shell variables, so that no value can be read as shell syntax.

    Args:
        task_id: The task's name.
        command: The command's words; `$NAME` stands for that variable's value.
        asked: Further options and their values, as Jinja: `{"--days": given("days")}`. Where the
            value is empty, the option is left out.
        variables: The command's environment, as Jinja; what is empty is left out.
        accepted: An exit code that counts as success, beside 0.
        model: The model that the command is about.
        shards: So many tasks at once, each with its own retries: `--shard` says which one it is.
        **options: Passed on to the task: `only_if` names a parameter that must be on; `backfills`
            says whether a backfill makes sense, `skips_backfills` leaves the task out of one;
            `leaves_report` that the next task reads what it leaves in reports/;
            `verdict_alert` is Prometheus' alert of a check that says no, so that nobody is told
            twice; `renews` has the asset that is new after it, under
            the key of the result (`a.b`: inside `a`) that says which state it is in.

    Returns:
        The operator.
    """
    command = [*command, *(("--shard", f"${SHARD_VARIABLE}") if shards else ())]
    quoted = [f'"{word}"' if word.startswith("$") else shlex.quote(word) for word in command]
    environment = {"PYTHONUNBUFFERED": "1", MODEL_VARIABLE: model.name, **(variables or {})}
    optional = {}
    for option, value in (asked or {}).items():
        name = f"ASKED_{option.strip('-').upper().replace('-', '_')}"
        environment[name] = value
        optional[option] = name
        quoted.append("${" + f'{name}:+{option} "${name}"' + "}")
    line = ['"${PROJECT_PYTHON:-.venv/bin/python}"', "-m", PIPELINE["package"], *quoted, "--json"]
    ending = ["exec", *line]
    if accepted is not None:
        ending = [*line, f"|| (code=$?; [ $code = {accepted} ] || exit $code)"]
    of_task = {
        "task_id": task_id,
        "words": [".venv/bin/python", "-m", PIPELINE["package"], *command],
        "optional": optional,
        "skip_on_exit_code": [NOTHING_TO_DO],
        **RUNNER.options(task_id, " ".join(ending)),
        **options,
    }
    if not shards:
        return Step(variables=environment, **of_task)
    each = [{**environment, SHARD_VARIABLE: str(number)} for number in range(1, shards + 1)]
    limit = {"max_active_tis_per_dag": shards}
    return Step.partial(**of_task, **limit).expand(variables=each)


def given(name: str) -> str:
    """A parameter's value as Jinja, empty where it was not given."""
    return "{% raw %}{{ params['NAME'] if params['NAME'] is not none else '' }}{% endraw %}".replace("NAME", name)


def interval(*run_types: str) -> dict[str, str]:
    """The options `--from` and `--to`: the parameters `from` and `to`, else the run's interval.

    Args:
        *run_types: Airflow's types of the runs that are about their interval, such as "backfill";
            in others, and without the parameters, the options are left out.
    """
    edges = {"from": "data_interval_start", "to": INTERVAL_END}
    text = "{% raw %}{{ params['NAME'] or (EDGE | ds if dag_run.run_type in TYPES else '') }}{% endraw %}"
    text = text.replace("TYPES", str(run_types))
    return {
        f"--{name}": text.replace("NAME", name).replace("EDGE", edge)
        for name, edge in edges.items()
    }


def unless_interval(*run_types: str) -> dict[str, str]:
    """The option `--run-id` of a run that is about no interval; see `interval`."""
    text = "{% raw %}{{ '' if params['from'] or dag_run.run_type in TYPES else dag_run.run_id }}{% endraw %}"
    return {"--run-id": text.replace("TYPES", str(run_types))}


# An interval that ends within a day covers that day, too.
INTERVAL_END = "(data_interval_end + macros.timedelta(days=1, microseconds=-1))"
