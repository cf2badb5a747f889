"""Servers on this machine, in containers, and the lake's resources on AWS: started and stopped."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def mlflow_up(as_json: Json = False) -> None:
    """Start the MLflow server in the background."""
    from goldpath.presentation import show
    from goldpath.services.mlflow_server import start_mlflow
    from goldpath.settings import load_settings

    show(start_mlflow(load_settings()), as_json)


def mlflow_down(as_json: Json = False) -> None:
    """Stop the MLflow server."""
    _stop("mlflow", as_json)


def init_mlflow(as_json: Json = False) -> None:
    """Create the experiment and the registered model, if they are not there."""
    from goldpath.contract import load_contract
    from goldpath.presentation import show
    from goldpath.registry.mlflow_manager import MLflowManager
    from goldpath.settings import load_settings

    settings = load_settings()
    show(MLflowManager(settings, load_contract(settings.root)).initialise(), as_json)


def airflow_up(as_json: Json = False) -> None:
    """Start Airflow in the background, in its own environment."""
    from goldpath.contract import load_contract
    from goldpath.errors import ProjectError
    from goldpath.jobs.orchestration import dags_state
    from goldpath.presentation import show, step
    from goldpath.services.airflow_server import start_airflow
    from goldpath.settings import load_settings

    settings = load_settings()
    try:
        state = dags_state(settings, load_contract(settings.root, ""))
        step(f"What the DAGs know: {state}")
    except ProjectError as error:  # Airflow is also where one looks at what failed
        step(f"What the DAGs know cannot be compared with the project: {error}")
    show(start_airflow(settings), as_json)


def airflow_down(as_json: Json = False) -> None:
    """Stop Airflow."""
    from goldpath.presentation import show
    from goldpath.services.airflow_server import stop_airflow
    from goldpath.settings import load_settings

    show(stop_airflow(load_settings()), as_json)


def monitoring_up(as_json: Json = False) -> None:
    """Start Prometheus, which watches service and drift, Alertmanager, and the monitoring page."""
    from goldpath.presentation import show
    from goldpath.services.prometheus_server import start_prometheus
    from goldpath.settings import load_settings

    show(start_prometheus(load_settings()), as_json)


def monitoring_down(as_json: Json = False) -> None:
    """Stop Prometheus, Alertmanager and the monitoring page."""
    from goldpath.jobs.retraining.ledger import Ledger
    from goldpath.models.folders import further_models
    from goldpath.presentation import step
    from goldpath.settings import project_root

    root = project_root()
    if any(Ledger(root, model).is_held() for model in ("", *further_models(root))):
        step(
            "A retraining runs: if an alert set it off, it ends with this, and counts for no limit"
        )
    _stop("prometheus", as_json)


def monitor_page(
    serve: Annotated[
        bool, typer.Option("--serve", help="Show it on 127.0.0.1 until Ctrl-C, always current.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write reports/monitor.html: drift, quality, versions, alerts and runs on one page."""
    import contextlib

    from goldpath.contract import load_contract
    from goldpath.monitor.server import MonitorServer
    from goldpath.monitor.written_page import write_page
    from goldpath.presentation import print_json, show, step
    from goldpath.services.processes import require_free_port
    from goldpath.settings import load_settings

    settings = load_settings()
    contract = load_contract(settings.root)
    if not serve:
        return show(write_page(settings, contract), as_json)
    require_free_port(settings.monitoring.page_port, "monitoring.page_port")
    with (
        MonitorServer(settings, contract, settings.monitoring.page_port) as server,
        contextlib.suppress(KeyboardInterrupt),
    ):
        if as_json:
            print_json({"url": server.url})
        else:
            step(f"monitoring page: {server.url}")
        server.serve_forever()
    return None


def relocate(
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without, only say what would change.")
    ] = False,
    as_json: Json = False,
) -> None:
    """After this folder was copied or moved: let lake and registry name the files in it."""
    from goldpath.presentation import show
    from goldpath.services.relocation import relocate_project
    from goldpath.settings import load_settings

    show(relocate_project(load_settings(), yes=yes), as_json)


def init_aws(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the changes; leave nothing behind.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Create or update the lake's resources on AWS; shows the changes and asks first."""
    from goldpath.services.aws_stack import deploy, show_deployment
    from goldpath.settings import load_settings

    show_deployment(deploy(load_settings(), dry_run=dry_run, yes=yes), as_json)


def docker_up(as_json: Json = False) -> None:
    """Start API, MLflow, Airflow, Prometheus, Alertmanager and Grafana in containers."""
    from goldpath.presentation import show
    from goldpath.services.docker_stack import start_stack
    from goldpath.settings import load_settings

    show(start_stack(load_settings()), as_json)


def docker_down(as_json: Json = False) -> None:
    """Stop the containers; their volumes stay."""
    from goldpath.presentation import show
    from goldpath.services.docker_stack import stop_stack
    from goldpath.settings import load_settings

    show(stop_stack(load_settings()), as_json)


def _stop(name: str, as_json: bool) -> None:
    from goldpath.presentation import show
    from goldpath.services.processes import stop_server
    from goldpath.settings import load_settings

    show(stop_server(name, load_settings().run_directory), as_json)


COMMANDS = (
    mlflow_up,
    mlflow_down,
    init_mlflow,
    airflow_up,
    airflow_down,
    monitoring_up,
    monitoring_down,
    monitor_page,
    init_aws,
    docker_up,
    docker_down,
)
"""In the order of `--help`."""
