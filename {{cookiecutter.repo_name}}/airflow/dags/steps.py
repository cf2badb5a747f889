"""DAGs and tasks of this project: one task is one command, run by the project's own Python.

These files import Airflow and nothing of the project: Airflow lives in an environment of its own.
What they know of the project stands in pipeline.json beside them (`make describe` writes it), and
how they run in config/airflow.yaml. The environment says where the project is: PROJECT_ROOT (its
folder) and PROJECT_PYTHON (the interpreter of its environment).
"""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset, Context, CronDataIntervalTimetable, Param
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

PROJECT_ROOT = os.environ.get("PROJECT_ROOT") or str(Path(__file__).resolve().parents[2])
PIPELINE: dict[str, Any] = json.loads(Path(__file__).with_name("pipeline.json").read_text("utf-8"))

# What the tasks bring up to date; Airflow's page of assets has the number that each stood at.
DATASET = PIPELINE["dataset"]
GOLD = Asset(f"{DATASET} gold", f"lake://gold/{DATASET}")
CHAMPION = Asset(f"{DATASET} champion", f"mlflow://models/{DATASET}/champion")
PREDICTIONS = Asset(f"{DATASET} predictions", f"lake://predictions/{DATASET}")
WHEN_ASSETS_ARE_NEW = "@assets"  # as a schedule, besides Airflow's own

# Airflow exports it to every command. A word that starts with $ is a shell variable, see `step`.
RUN_ID = "$AIRFLOW_CTX_DAG_RUN_ID"

# The commands' exit codes: the work was done before, a check says no, and too few rows.
NOTHING_TO_DO, CHECK_SAYS_NO, NOT_ENOUGH_DATA = 99, 1, 3


def read_settings(root: Path) -> dict[str, Any]:
    """config/airflow.yaml, and over it what this environment's file changes."""
    environment = os.environ.get("MLOPS_ENVIRONMENT") or "development"
    own = root / "config" / "environments" / f"{environment}.yaml"
    settings = yaml.safe_load((root / "config" / "airflow.yaml").read_text("utf-8")) or {}
    overlay = (yaml.safe_load(own.read_text("utf-8")) or {}) if own.is_file() else {}
    changes = overlay.get("airflow") or {}
    schedules = {**(settings.get("schedules") or {}), **(changes.get("schedules") or {})}
    return {**settings, **changes, "schedules": schedules}


SETTINGS = read_settings(Path(PROJECT_ROOT))


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
    """A DAG whose schedule, owner, pool and retries are those of config/airflow.yaml.

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
        },
    )


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


class Step(BashOperator):
    """A command of the project. A run that is asked for what its DAG does not know fails here."""

    def __init__(
        self,
        *,
        only_if: str = "",
        backfills: bool = True,
        renews: Mapping[str, Asset] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(outlets=list((renews or {}).values()), **options)
        self.only_if = only_if
        self.backfills = backfills
        self.renews = renews or {}

    def execute(self, context: Context) -> Any:
        """Run the command, where the run's parameters ask for it.

        Raises:
            AirflowFailException: If the run cannot be what was asked for; it is not tried again.
            AirflowSkipException: If the parameter `only_if` is off.
        """
        run, known = context["dag_run"], sorted(context["dag"].params)
        if unknown := sorted(set(run.conf or {}) - set(known)):
            raise AirflowFailException(
                f"conf has {', '.join(unknown)}, which {context['dag'].dag_id} does not know; "
                f"it knows {', '.join(known) or 'no parameters'}"
            )
        if run.run_type == "backfill" and not self.backfills:
            raise AirflowFailException(
                f"{self.task_id} works on what is there now, whatever the interval: a backfill "
                "would do the same again for each; backfill data_pipeline, then run this once"
            )
        if self.only_if and not context["params"][self.only_if]:
            raise AirflowSkipException(f"the parameter {self.only_if} is off")
        # What is empty leaves the outer environment as it is.
        self.env = {name: value for name, value in (self.env or {}).items() if value}
        result = super().execute(context)
        for key, asset in self.renews.items():
            context["outlet_events"][asset].extra = {key: result[key]}
        return result


def step(
    task_id: str,
    command: Sequence[str],
    *,
    asked: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    accepted: int | None = None,
    **options: Any,
) -> Step:
    """A task that runs `python -m PACKAGE COMMAND` in the project's folder.

    The command's JSON result, its last line, becomes the task's XCom. Values known only at run
    time come as shell variables, so that no value can be read as shell syntax.

    Args:
        task_id: The task's name.
        command: The command's words; `$NAME` stands for that variable's value.
        asked: Further options and their values, as Jinja: `{"--days": given("days")}`. Where the
            value is empty, the option is left out.
        variables: The command's environment, as Jinja; what is empty is left out.
        accepted: An exit code that counts as success, beside 0.
        **options: Passed on to `Step`: `only_if` names a parameter that must be on; `backfills`
            says whether a backfill makes sense; `renews` has the asset that is new after it, under
            the key of the result that says which state it is in.

    Returns:
        The operator.
    """
    words = [f'"{word}"' if word.startswith("$") else shlex.quote(word) for word in command]
    environment = {"PYTHONUNBUFFERED": "1", **(variables or {})}
    for option, value in (asked or {}).items():
        name = f"ASKED_{option.strip('-').upper().replace('-', '_')}"
        environment[name] = value
        words.append("${" + f'{name}:+{option} "${name}"' + "}")
    line = ['"${PROJECT_PYTHON:-.venv/bin/python}"', "-m", PIPELINE["package"], *words, "--json"]
    ending = ["exec", *line]
    if accepted is not None:
        ending = [*line, f"|| (code=$?; [ $code = {accepted} ] || exit $code)"]
    return Step(
        task_id=task_id,
        bash_command=" ".join(ending),
        cwd=PROJECT_ROOT,
        env=environment,
        append_env=True,
        output_processor=read_result,
        **{"skip_on_exit_code": [NOTHING_TO_DO], **options},
    )


def given(name: str) -> str:
    """A parameter's value as Jinja, empty where it was not given."""
    return "{% raw %}{{ params['NAME'] if params['NAME'] is not none else '' }}{% endraw %}".replace("NAME", name)


def interval_or(name: str, edge: str) -> str:
    """As `given`; in a backfill without it, the day on which the run's interval starts or ends."""
    text = "{% raw %}{{ params['NAME'] or (EDGE | ds if dag_run.run_type == 'backfill' else '') }}{% endraw %}"
    return text.replace("NAME", name).replace("EDGE", edge)


INTERVAL_START = "data_interval_start"
# An interval that ends within a day covers that day, too.
INTERVAL_END = "(data_interval_end + macros.timedelta(days=1, microseconds=-1))"


def read_result(line: str) -> Any:
    """A command's last line as a value; as text where something was printed after the result."""
    try:
        return json.loads(line)
    except ValueError:
        return line
