"""The one door: every step of the project is a command here.

Make targets, Airflow tasks, CI jobs and containers call these commands. Each imports its code
inside the function, so that `--help` answers at once.

Exit codes: 0 ok, 1 a check says no, 2 error, 3 not enough data, 99 nothing to do.
"""

import gc
import os
import sys
import traceback
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from goldpath.cli.access import access as access_app
from goldpath.cli.access import keys as keys_app
from goldpath.cli.access import users as users_app
from goldpath.cli.alerts import app as alerts_app
from goldpath.cli.alerts import retrain
from goldpath.cli.automl import automl
from goldpath.cli.data import app as data_app
from goldpath.cli.definitions import check, describe
from goldpath.cli.docs import docs
from goldpath.cli.engine import app as engine_app
from goldpath.cli.features import app as features_app
from goldpath.cli.logs import app as logs_app
from goldpath.cli.own_code import require_own_code
from goldpath.cli.registry import app as registry_app
from goldpath.cli.servers import COMMANDS as SERVER_COMMANDS
from goldpath.cli.servers import relocate
from goldpath.cli.sources import add_model, add_source, adopt, sample
from goldpath.cli.stages import FromDay, ToDay, days_between
from goldpath.cli.stages import batch as batch_app
from goldpath.cli.stages import training as training_app
from goldpath.cli.traffic import app as traffic_app
from goldpath.cli.update import eject_example, migrate, template_update

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from goldpath.project import Project


class Door(TyperGroup):
    """The commands. Typer itself ends with 1, a check's "no", where a pipe breaks inside one."""

    def invoke(self, ctx: Any) -> Any:  # noqa: D102  Typer's own
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            from goldpath.presentation import nobody_reads

            raise typer.Exit(2) if nobody_reads() else RuntimeError(str(error)) from error


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
RunId = Annotated[
    str | None, typer.Option(help="Name of this run; a second call with it changes nothing.")
]

AIRFLOWS_RUN = "AIRFLOW_CTX_DAG_RUN_ID"  # a command that has it is a task of Airflow
OTHERS = 0o077
"""Rows, models, logs and reports are for whoever runs the project, not for the machine's others."""
WRITE_SOURCES = frozenset(
    {
        *("add-model", "add-source", "adopt", "describe", "docs"),
        *("eject-example", "engine", "migrate", "template-update"),
    }
)
"""They write what goes into git, which a container's user or a colleague has to read."""


class DriftSource(StrEnum):
    """Which rows a drift check judges."""

    newest = "newest"
    batch = "batch"
    service = "service"
    table = "table"
    file = "file"


@app.callback(cls=Door)
def choose_model(
    model: Annotated[
        str | None,
        typer.Option(envvar="MLOPS_MODEL", help="A further model (models/NAME), or the main one."),
    ] = None,
) -> None:
    """Data, training, serving and monitoring of models. Every command takes --json."""
    if model:
        os.environ["MLOPS_MODEL"] = model  # for what this command starts, too


DATA = "Data"
MODEL = "Model"
SERVE = "Serve and watch"
SERVERS = "Local servers"

app.add_typer(data_app, name="data", rich_help_panel=DATA)
app.add_typer(features_app, name="features", rich_help_panel=DATA)
app.add_typer(training_app, name="training", rich_help_panel=MODEL)
app.add_typer(batch_app, name="batch", rich_help_panel=MODEL)
app.add_typer(registry_app, name="registry", rich_help_panel=MODEL)
app.add_typer(logs_app, name="logs", rich_help_panel=SERVE)
app.command(rich_help_panel=MODEL)(automl)
app.command(rich_help_panel=MODEL)(retrain)
app.add_typer(traffic_app, name="traffic", rich_help_panel=SERVE)
app.add_typer(alerts_app, name="alerts", rich_help_panel=SERVE)
app.add_typer(keys_app, name="api-key", rich_help_panel=SERVE)
app.add_typer(users_app, name="user", rich_help_panel=SERVE)
app.add_typer(access_app, name="access", rich_help_panel=SERVE)
app.command()(template_update)
app.command()(eject_example)
app.command()(migrate)
app.command()(relocate)
app.add_typer(engine_app, name="engine")
app.command()(check)
app.command()(describe)
app.command()(docs)


def run(
    project: "Project | Callable[[], Project] | None" = None,
    arguments: "Sequence[str] | None" = None,
) -> NoReturn:
    """Run the command line with a project: what its `__main__.py` does, and nothing else.

    An error that a person can mend is printed as text, or as one JSON object with `--json`, and
    never as a traceback. Any other is one, and ends with 2: it is no check's answer.

    Args:
        project: Its definitions are used by the command; the engine's own where not given. As a
            function that imports and returns it, what is wrong in `project.py` is such an error,
            too, and not the traceback and exit code 1 of an import that fails.
        arguments: Those of the command line where not given.

    Raises:
        SystemExit: Always: 0 ok, 1 a check says no, 2 error, 3 not enough data, 99 nothing to do.

    Example:
        >>> from goldpath import Project, run
        >>> project = Project(name="customer_churn")
        >>> run(project, ["sample", "--rows", "500", "--json"])
        Traceback (most recent call last):
        SystemExit: 0
        >>> run(project, ["sample", "--drift", "colour=1"])
        Traceback (most recent call last):
        SystemExit: 2
    """
    from goldpath.errors import ProjectError
    from goldpath.handed_over import handed_over
    from goldpath.project import run_as

    if AIRFLOWS_RUN in os.environ:
        from goldpath.services.process_table import end_with_parent

        end_with_parent()
    _print_what_can_be_printed()
    given = sys.argv[1:] if arguments is None else list(arguments)
    mask = os.umask(OTHERS)
    if _command(given) in WRITE_SOURCES:
        os.umask(mask)
    else:
        os.umask(mask | OTHERS)
    try:
        require_own_code()
        if project is not None:
            run_as(handed_over("Project(…)", project) if callable(project) else project)
        app(given)
        sys.exit()
    except ProjectError as error:
        from goldpath.models.folders import VARIABLE, with_model
        from goldpath.presentation import show_error

        error.fix = with_model(error.fix, os.environ.get(VARIABLE, ""))
        show_error(error, as_json="--json" in given)
        sys.exit(error.exit_code)
    except Exception:  # noqa: BLE001  Python's own code for it, 1, is a check's "no"
        traceback.print_exc()
        sys.exit(2)
    finally:
        os.umask(mask)


def _command(arguments: "Sequence[str]") -> str:
    """The command's name, behind the option that chooses a model."""
    words = iter(arguments)
    for word in words:
        if word == "--model":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _print_what_can_be_printed() -> None:
    """Print `?` for a letter that the terminal's encoding lacks, and not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


app.command(rich_help_panel=DATA)(sample)
app.command(rich_help_panel=DATA)(adopt)
app.command(rich_help_panel=DATA)(add_source)
app.command(rich_help_panel=MODEL)(add_model)


@app.command(rich_help_panel=MODEL)
def train(
    run_id: RunId = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Then try it over HTTP and ask the gate for champion.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Search, train, evaluate and register a candidate."""
    from goldpath.contract import load_contract
    from goldpath.jobs.training import deployment
    from goldpath.jobs.training import stages as training
    from goldpath.presentation import as_plain, show
    from goldpath.settings import load_settings

    settings = load_settings()
    contract = load_contract(settings.root)
    candidate = training.train(settings, contract, run_id)
    if not promote:
        return show(candidate, as_json)
    if not as_json:
        show(candidate, as_json)
    gate = deployment.deploy(settings, contract, candidate.model_version)
    return show(
        gate if not as_json else {**as_plain(candidate), "promotion": as_plain(gate)}, as_json
    )


@app.command(rich_help_panel=MODEL)
def promote(
    version: Annotated[
        str | None, typer.Option(help="Model version; the newest where not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare a candidate with the champion on the same rows; move the alias if it passes."""
    from goldpath.contract import load_contract
    from goldpath.jobs.promotion import promote as promotion
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    show(promotion.promote(settings, load_contract(settings.root), version), as_json)


@app.command(rich_help_panel=MODEL)
def batch_predict(
    data: Annotated[
        Path | None, typer.Option(help="Score this file; the gold table where not given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write this Parquet file, not the predictions table.")
    ] = None,
    run_id: RunId = None,
    start: FromDay = None,
    end: ToDay = None,
    as_json: Json = False,
) -> None:
    """Score rows with the champion, into the predictions table or from Parquet to Parquet.

    With --from and --to, the predictions of each day replace those that the table has of it.
    """
    if (start or end) and (data or out or run_id):
        raise typer.BadParameter("--from and --to go without --data, --out and --run-id")
    days = days_between(start, end)
    from goldpath.contract import load_contract
    from goldpath.jobs.batch.days import is_day
    from goldpath.jobs.batch.table import predict_batch
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    if run_id and is_day(run_id):
        raise typer.BadParameter(f"--run-id {run_id} is what a day's predictions are called")
    settings = load_settings()
    contract = load_contract(settings.root)
    if out is None:
        show(predict_batch(settings, contract, data, run_id, days), as_json)
        return
    if data is None:
        raise typer.BadParameter("--out needs --data: a Parquet file, a folder or a glob of them")
    from goldpath.jobs.batch.files import predict_file

    show(predict_file(settings, contract, data, out), as_json)


@app.command(rich_help_panel=SERVE)
def drift_check(
    data: Annotated[
        Path | None, typer.Option(help="Check this file; the last scored rows where not given.")
    ] = None,
    source: Annotated[
        DriftSource, typer.Option(help="Which rows: newest is what was scored last.")
    ] = DriftSource.newest,
    html: Annotated[bool, typer.Option(help="Also write Evidently's HTML report.")] = True,
    as_json: Json = False,
) -> None:
    """Compare rows with what the champion was trained on; exit 1 on drift, 3 on too few rows."""
    from goldpath.contract import load_contract
    from goldpath.jobs.drift.check import check_drift
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    contract = load_contract(settings.root)
    result = check_drift(settings, contract, data, html=html, source=source.value)
    show(result, as_json)
    raise typer.Exit(result.exit_code)


@app.command(rich_help_panel=SERVE)
def serve(
    production: Annotated[
        bool,
        typer.Option(help="Several workers, JSON logs; environment=production if not set."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Serve the champion over HTTP until Ctrl-C; --json says where as one object."""
    gc.disable()  # a seventh of the time to start; the service enables it when it is up
    # Pydantic would read every installed package's metadata for plugins that nobody has.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from goldpath.serving.process.server import run_server
    from goldpath.settings import load_settings

    settings = load_settings()
    if production and "environment" not in settings.model_fields_set:
        os.environ["MLOPS_ENVIRONMENT"] = "production"  # unless somebody says otherwise
        settings = load_settings()
    run_server(settings, production=production, as_json=as_json)


@app.command(rich_help_panel=SERVE)
def status(as_json: Json = False) -> None:
    """Say what exists, what is missing and which command brings it."""
    from goldpath.contract import load_contract
    from goldpath.jobs.upkeep.status import project_status
    from goldpath.presentation import show
    from goldpath.services.processes import shown_servers
    from goldpath.settings import load_settings

    settings = load_settings()
    servers = shown_servers(settings.run_directory)
    show(project_status(settings, load_contract(settings.root), servers), as_json)


for server_command in SERVER_COMMANDS:
    app.command(rich_help_panel=SERVERS)(server_command)


@app.command()
def demo(as_json: Json = False) -> None:
    """Run the whole path once: data, training, promotion, a live prediction, batch, drift."""
    from goldpath.jobs.demo import run_demo
    from goldpath.settings import load_settings

    run_demo(load_settings(), as_json=as_json)


@app.command()
def demo_drift(as_json: Json = False) -> None:
    """Show the loop live: a shift, an alert, a message, a training, a new champion, no drift."""
    from goldpath.demonstration.drift_loop import demonstrate_drift
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    show(demonstrate_drift(load_settings()), as_json)


@app.command()
def clean(
    everything: Annotated[
        bool, typer.Option("--all", help="Also the lake, the registry and the logs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete caches and reports; --all also deletes data and models."""
    from goldpath.presentation import show
    from goldpath.services.cleaning import clean_project
    from goldpath.settings import load_settings

    show(clean_project(load_settings(), everything=everything), as_json)
