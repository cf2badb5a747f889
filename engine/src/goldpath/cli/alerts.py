"""The commands under `alerts`, and `retrain`, which an alert sets off."""

from enum import StrEnum
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
TRAINING_DAG = "ml_training_pipeline"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="What fires, who is told of it, and silence for a while (make monitoring-up).",
)


class RetrainReason(StrEnum):
    """Whose verdict asks for a retraining."""

    newest = "newest"
    batch = "batch"
    service = "service"
    table = "table"
    file = "file"
    labels = "labels"


class Severity(StrEnum):
    """What routes choose by."""

    warning = "warning"
    critical = "critical"


@app.command("show")
def show_alerts(as_json: Json = False) -> None:
    """Show the alerts that fire, and the silences."""
    from goldpath.presentation import as_plain, print_json, show_rows
    from goldpath.services.alerting.alertmanager_api import active_silences, firing_alerts
    from goldpath.settings import load_settings

    settings = load_settings()
    alerts, silences = firing_alerts(settings), active_silences(settings)
    if as_json:
        print_json(
            {
                "alerts": [as_plain(row) for row in alerts],
                "silences": [as_plain(row) for row in silences],
            }
        )
        return
    show_rows(alerts, "Alerts that fire")
    show_rows(silences, "Silences")


@app.command("test")
def try_routes(
    alert: Annotated[str, typer.Argument(help="The name that routes choose by.")] = "DriftDetected",
    severity: Annotated[Severity, typer.Option(help="As the alert has it.")] = Severity.warning,
    as_json: Json = False,
) -> None:
    """Send a trial message to whoever is told of such an alert; exit 1 if one does not take it."""
    from goldpath.presentation import show
    from goldpath.services.alerting.alertmanager_api import send_trial
    from goldpath.settings import load_settings

    show(send_trial(load_settings(), alert, severity.value), as_json)


@app.command()
def silence(
    alert: Annotated[str, typer.Argument(help="Such as DriftDetected.")],
    hours: Annotated[float, typer.Option(min=0.01, max=8784, help="For how long.")] = 4.0,
    source: Annotated[str, typer.Option(help="Only of this source of rows.")] = "",
    every_model: Annotated[
        bool, typer.Option("--every-model", help="Of all models; else of the chosen one's alone.")
    ] = False,
    comment: Annotated[str, typer.Option(help="Why.")] = "by hand",
    as_json: Json = False,
) -> None:
    """Tell nobody of a model's alert for a while."""
    import getpass

    from goldpath.presentation import show
    from goldpath.services.alerting.alertmanager_api import silence as make_silence
    from goldpath.settings import load_settings

    settings = load_settings()
    by = settings.registry.actor or getpass.getuser()
    show(
        make_silence(settings, alert, hours, comment, by, source, every_model=every_model), as_json
    )


@app.command()
def unsilence(
    identity: Annotated[str, typer.Argument(help="The silence's id (alerts show --json).")],
    as_json: Json = False,
) -> None:
    """End a silence now."""
    from goldpath.presentation import show
    from goldpath.services.alerting.alertmanager_api import end_silence
    from goldpath.settings import load_settings

    end_silence(load_settings(), identity)
    show({"silence": identity, "state": "ended"}, as_json)


@app.command()
def receive(
    configure: Annotated[
        bool, typer.Option("--configure", help="First write Alertmanager's configuration.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take alerts from Alertmanager, pass them on, and retrain; monitoring-up starts it."""
    import contextlib

    from goldpath.presentation import print_json, step
    from goldpath.services.alerting.alertmanager import who_is_told, write_configuration
    from goldpath.services.alerting.configuration import token_file
    from goldpath.services.alerting.receiver import AlertReceiver
    from goldpath.services.processes import require_free_port
    from goldpath.settings import load_settings

    settings = load_settings()
    require_free_port(settings.monitoring.receiver_port, "monitoring.receiver_port")
    if configure:  # a container's: monitoring-up writes it before it starts anything
        write_configuration(settings, token_file(settings).parent)
        step(who_is_told(settings))
    with (
        AlertReceiver(settings, settings.monitoring.receiver_port) as server,
        contextlib.suppress(KeyboardInterrupt),
    ):
        if as_json:
            print_json({"url": server.url})
        else:
            step(f"alerts: listening on {server.url}")
        server.serve_forever()


def retrain(
    source: Annotated[
        RetrainReason, typer.Option(help="Whose verdict asks for it; newest: the last check's.")
    ] = RetrainReason.newest,
    force: Annotated[
        bool, typer.Option("--force", help="Leave out cooldown and budget, not the other rules.")
    ] = False,
    only_admit: Annotated[
        bool, typer.Option("--admit", help="Ask the rules and count it; somebody else trains.")
    ] = False,
    here: Annotated[
        bool, typer.Option("--here", help="Train in this process, although Airflow runs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """After drift or a loss of quality: data, training, gate; says why where it does not.

    Exit 1: too early, or the gate said no; 3: too few new labels; 99: nothing asks for it.
    """
    from goldpath.contract import load_contract
    from goldpath.jobs.retraining.retrain import admit, hand_over
    from goldpath.jobs.retraining.retrain import retrain as train_again
    from goldpath.presentation import show
    from goldpath.services.airflow_server import running_airflow
    from goldpath.settings import load_settings

    settings = load_settings()
    contract = load_contract(settings.root)
    if only_admit:
        return show(admit(settings, contract, source.value, force=force), as_json)
    dag = f"{TRAINING_DAG}_{settings.model}" if settings.model else TRAINING_DAG
    airflow = None if here else running_airflow(settings, dag)
    if airflow is None:
        return show(train_again(settings, contract, source.value, force=force), as_json)
    result = hand_over(
        settings,
        contract,
        source.value,
        lambda: f"Airflow's run {airflow.trigger(dag)} of {dag}",
        force=force,
    )
    return show(result, as_json)
