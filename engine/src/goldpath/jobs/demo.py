"""The main job end to end, as a person would run it: each step is the real one, over real HTTP."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table

from goldpath.contract import Contract, load_contract
from goldpath.errors import CheckFailedError, ProjectError
from goldpath.features.learned import learned_contract
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.bronze import SAMPLE, SAMPLE_SEED
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.drift.written_reports import DriftReport
from goldpath.jobs.training.deployment import deploy
from goldpath.jobs.training.results import TrainingResult
from goldpath.jobs.training.stages import train
from goldpath.jobs.upkeep.materialization import materialize
from goldpath.presentation import as_plain, console, print_json, progress_console, step
from goldpath.sample.customers import write_sample
from goldpath.serving.process.loopback import loopback_service
from goldpath.serving.schemas import example_features
from goldpath.settings import Settings

SHIFT = {"monthly_charges": 1.0, "support_tickets": 0.8}
FRESH_ROWS = 4_000
FRESH_SEED = 101
CUSTOMER = f"C{SAMPLE_SEED}-000123"
"""Whose windows the service looks up; the sample has this customer."""


class DemoError(ProjectError):
    """A step of the demo did not do what it must."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo saw."""

    seconds: float
    rows: dict[str, int]
    metric: str
    value: float
    interval: tuple[float, float]
    baseline: float
    noise_ceiling: float | None
    model: str
    model_version: str
    champion_version: str
    gate: str
    prediction: dict[str, Any]
    batch: str
    drift_on_fresh_data: str
    drift_on_shifted_data: str
    files: list[str]


def run_demo(settings: Settings, *, as_json: bool) -> None:
    """Run every step, check each answer, and print a summary.

    Raises:
        DemoError: If a step answered, but not as it must.
        ProjectError: If a step failed.
    """
    started = time.monotonic()
    contract = load_contract(settings.root)
    if contract.source.path != SAMPLE:
        raise DemoError(
            f"the demo runs on the sample, and this project's source is {contract.source.name}",
            "run make data, make train-local and make serve for your own data",
        )
    _headline("1/6 Data: bronze, silver, gold")
    looks_up = bool(learned_contract(settings, contract).window_features)
    write_sample(_file(settings, "fresh"), FRESH_ROWS, FRESH_SEED, {}, history=looks_up)
    data = refresh(settings, contract)
    _headline("2/6 Training: search, fit, evaluate, register")
    candidate = train(settings, contract)
    _headline("3/6 Deployment: a smoke test over HTTP, then the gate")
    gate = _ask_gate(settings, contract, candidate)
    _headline("4/6 Service: a prediction over HTTP")
    if looks_up:
        materialize(settings, contract)
    prediction = _predict_over_http(settings, contract)
    _headline("5/6 Batch: every row of the gold table")
    batch = predict_batch(settings, contract)
    _headline("6/6 Drift: fresh customers, then shifted ones")
    fresh = _check(settings, contract, "fresh", {}, expected="ok")
    shifted = _check(settings, contract, "shifted", SHIFT, expected="drift")
    result = DemoResult(
        seconds=time.monotonic() - started,
        rows={
            "bronze": data.bronze_rows,
            "silver": data.silver_rows,
            "quarantined": data.quarantined_rows,
            "duplicates": data.duplicate_rows,
            **{name: source.silver_rows for name, source in data.sources.items()},
        },
        metric=candidate.metric,
        value=candidate.value,
        interval=candidate.interval,
        baseline=candidate.baseline,
        noise_ceiling=candidate.noise_ceiling,
        model=candidate.model,
        model_version=candidate.model_version,
        champion_version=str(prediction["model_version"]),
        gate=gate,
        prediction=prediction,
        batch=f"{batch.rows} rows in {batch.table}",
        drift_on_fresh_data=_verdict(fresh),
        drift_on_shifted_data=_verdict(shifted),
        files=_pictures(settings),
    )
    if as_json:
        print_json(as_plain(result))
    else:
        _print_summary(result)


def _ask_gate(settings: Settings, contract: Contract, candidate: TrainingResult) -> str:
    """The gate's answer in one sentence; on a second run it may rightly keep the champion."""
    try:
        deploy(settings, contract, candidate.model_version)
    except CheckFailedError as refusal:
        step(str(refusal))
        return f"version {candidate.model_version} refused; the champion stays"
    return f"version {candidate.model_version} is champion"


def _predict_over_http(settings: Settings, contract: Contract) -> dict[str, Any]:
    features = example_features(contract)
    learned = learned_contract(settings, contract)
    body: dict[str, Any] = {"features": features}
    said = f"{len(features)} features"
    if looked_up := len(learned.window_features):
        body = {str(contract.entity): CUSTOMER, **body}
        said = f"{contract.entity} {CUSTOMER} and {said}; the service looks up {looked_up} more"
    if computed := len(learned.row_features):
        said += f"; the service computes {computed} more"
    with loopback_service(settings, "demo", {}) as service:
        step(f"POST {service.url}/predict with {said}")
        return service.post("/predict", body)


def _check(
    settings: Settings, contract: Contract, name: str, shift: dict[str, float], *, expected: str
) -> DriftReport:
    """Check customers that no one has seen, and insist on the verdict that is known to be right."""
    file = _file(settings, name)
    if shift:
        write_sample(file, FRESH_ROWS, FRESH_SEED, shift)
    report = check_drift(settings, contract, file, html=bool(shift))
    if report.verdict != expected:
        raise DemoError(
            f"drift-check said {report.verdict!r} of {file}, not {expected!r}",
            "read reports/drift.json",
        )
    return report


def _file(settings: Settings, name: str) -> Path:
    return settings.root / Path(SAMPLE).with_name(f"{name}.csv")


def _verdict(report: DriftReport) -> str:
    return f"{report.verdict} (exit {report.exit_code})"


def _pictures(settings: Settings) -> list[str]:
    """What there is to look at, relative to the project."""
    names = ("evaluation.png", "drift.png", "drift.html")
    files = [settings.reports / name for name in names]
    return [settings.shown(file) for file in files if file.is_file()]


def _headline(text: str) -> None:
    progress_console.print(Rule(text, align="left"))


def _probabilities(answer: dict[str, Any]) -> str:
    shown = (f"P({label}) {p:.3f}" for label, p in (answer.get("probabilities") or {}).items())
    return f" ({', '.join(shown)})" if answer.get("probabilities") else ""


def _print_summary(result: DemoResult) -> None:
    low, high = result.interval
    ceiling = "" if result.noise_ceiling is None else f", noise ceiling {result.noise_ceiling:.4f}"
    answer = result.prediction
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in (
        ("Data", ", ".join(f"{count} {name}" for name, count in result.rows.items())),
        (
            "Model",
            f"{result.model} version {result.model_version}: {result.metric} {result.value:.4f} "
            f"[{low:.4f}, {high:.4f}], baseline {result.baseline:.4f}{ceiling}",
        ),
        ("Gate", result.gate),
        (
            "POST /predict",
            f"{answer['prediction']}{_probabilities(answer)}, by version {answer['model_version']}",
        ),
        ("Batch", result.batch),
        ("Drift, fresh data", result.drift_on_fresh_data),
        ("Drift, shifted data", result.drift_on_shifted_data),
        ("Look at", "\n".join(result.files)),
        (
            "Next",
            "make serve          http://127.0.0.1:8000\n"
            "make mlflow-up      http://127.0.0.1:5000\n"
            "make airflow-up     http://127.0.0.1:8080\n"
            "make monitoring-up  http://127.0.0.1:9096\n"
            "make adopt DATA=your.csv TARGET=column",
        ),
    ):
        table.add_row(name, text)
    console.print(
        Panel(table, title=f"The whole path in {result.seconds:.0f} s", title_align="left")
    )
