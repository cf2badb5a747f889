"""`logs performance`: how good the service's predictions were, by the labels that came back.

Predictions and labels are joined by the prediction's id; of several labels of one prediction, the
one that was known last counts. The label of a forecast is the main table's row of its time, too.
`reports/feedback.json` holds the figures; Prometheus reads them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from goldpath.contract import Contract, parse_contract
from goldpath.errors import NotEnoughDataError
from goldpath.jobs.drift.live_quality import (
    LiveQuality,
    insufficient,
    interval_of,
    judge_quality,
    metric_of,
)
from goldpath.jobs.drift.live_value import PeriodValue, ValueOfDay, value_by_period
from goldpath.jobs.drift.served_predictions import judged_since
from goldpath.lake.connection import open_lakehouse
from goldpath.learning.decision.choice import deciding_as
from goldpath.learning.decision.chosen import with_chosen_metrics
from goldpath.learning.decision.quality import decision_metrics
from goldpath.learning.decision.value import VALUE
from goldpath.learning.metrics import area_under_roc
from goldpath.learning.predictions import Predictions
from goldpath.presentation import console, print_json, show_rows, step
from goldpath.privacy.erasure import uses_rows
from goldpath.project import Model, naming
from goldpath.registry.layout import CONTRACT_FILE
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.reports import write_report
from goldpath.serving.metrics.reports import write_textfile
from goldpath.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

REPORT = "feedback.json"
EVERY_DAY = "all"


@dataclass(frozen=True)
class Performance:
    """How one version did, on one day or on all of them.

    Attributes:
        model_version: The version.
        day: The day of the predictions in UTC, or `all`.
        predictions: Predictions of it.
        labelled: Predictions whose label came back.
        metrics: Figures on the labelled ones; one that is not defined there (the area under the
            curve with one class only) is left out.
        interval: The 95 % interval of the metric that live quality is judged by; None where that
            metric is not defined.
    """

    model_version: str
    day: str
    predictions: int
    labelled: int
    metrics: dict[str, float]
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class LivePerformance:
    """How the service's predictions did.

    Attributes:
        since: The first day.
        quality: Whether the champion's quality has fallen; its exit code is the command's.
        versions: Each version on all days.
        days: Each version day by day.
        labels: Labels that came since, the repeated ones left out.
        unmatched_labels: Labels whose prediction is not known: an id of another service, or one
            from before the first day.
        report: The JSON report.
        values: What the decisions of each day and week were worth; empty without `decision.values`.
        unit: Of these values, such as dollars.
    """

    since: str
    quality: LiveQuality
    versions: tuple[Performance, ...]
    days: tuple[Performance, ...]
    labels: int
    unmatched_labels: int
    report: str
    values: tuple[PeriodValue, ...] = ()
    unit: str = ""


@uses_rows
def live_performance(
    settings: Settings, contract: Contract, days: int | None = None
) -> LivePerformance:
    """Join the labels with the predictions, and leave the report.

    Args:
        settings: Where log, lake and reports are.
        contract: Says what is predicted.
        days: How far back; `prediction_log.performance_days` where not given.

    Raises:
        NotEnoughDataError: If no label found its prediction, or a clustering has none.
        RegistryError: If the registry cannot be reached; it knows what the champion's test said.
    """
    if not contract.has_target:
        raise NotEnoughDataError(
            "a segmentation (problem: clustering) has no labels, so there is no live performance",
            "make drift-check compares rows and segments with those of the training",
        )
    lakehouse = open_lakehouse(settings)
    since = datetime.now(UTC) - timedelta(
        days=(days or settings.prediction_log.performance_days) - 1
    )
    found = judged_since(settings, contract, lakehouse, since)
    latest = (
        found.labels.to_pandas()
        .sort_values(["known_at", "received_at"], kind="stable")
        .drop_duplicates("prediction_id", keep="last")
    )
    joined = found.labelled.to_pandas().merge(
        latest[["prediction_id", "label"]].dropna(), on="prediction_id"
    )
    if joined.empty:
        raise NotEnoughDataError(
            f"no label found its prediction since {since:%Y-%m-%d} "
            f"({sum(found.counts.values())} predictions, {len(latest)} labels)",
            "send labels to POST /feedback, with the prediction_id of the answer"
            + ("; or bring the rows of the predicted times" if contract.forecast else ""),
        )
    definitions = with_chosen_metrics(
        settings.project.definitions, contract, settings.training, settings.decision
    )

    brought = decision_metrics(settings.decision)
    manager = MLflowManager(settings, contract)
    contracts = {
        version: _decided_contract(manager, contract, version) if brought else contract
        for version in {version for version, _ in found.counts}
    }

    def judged(version: str, day: str, count: int, rows: "pd.DataFrame") -> Performance:
        return _performance(contracts[version], definitions, version, day, count, rows)

    by_day = [
        judged(version, day, count, _of(joined, model_version=version, _day=day))
        for (version, day), count in sorted(found.counts.items())
    ]
    versions = Counter[str]()
    for (version, _), count in found.counts.items():
        versions[version] += count
    by_version = [
        judged(version, EVERY_DAY, count, _of(joined, model_version=version))
        for version, count in sorted(versions.items())
    ]
    file = settings.reports / REPORT
    result = LivePerformance(
        since=f"{since:%Y-%m-%d}",
        quality=_quality(settings, contract, manager, joined),
        versions=tuple(by_version),
        days=tuple(by_day),
        labels=len(latest),
        unmatched_labels=len(latest) - len(joined),
        report=settings.shown(file),
        values=_values(by_day, f"{since:%Y-%m-%d}"),
        unit=settings.decision.unit if settings.decision.values else "",
    )
    made = {"checked_at": datetime.now(UTC).isoformat(), "model_name": contract.model_name}
    write_report(file, {**made, **asdict(result)})
    write_textfile(settings.reports, settings.model)
    return result


def show_performance(result: LivePerformance, as_json: bool) -> None:
    """Print the figures: a line a version, then a line a version and day."""
    if as_json:
        print_json(asdict(result))
        return
    console.print(result.quality.message, markup=False)
    show_rows(result.versions, f"Since {result.since}")
    show_rows(result.days, "By day")
    if result.values:
        unit = f" in {result.unit}" if result.unit else ""
        show_rows(result.values, f"Worth of the decisions whose label came back{unit}")


def _values(days: Sequence[Performance], since: str) -> tuple[PeriodValue, ...]:
    known = (
        ValueOfDay(each.day, each.predictions, each.labelled, each.metrics.get(VALUE, 0.0))
        for each in days
        if VALUE in each.metrics or not each.labelled
    )
    return value_by_period(known, since)


def _decided_contract(manager: MLflowManager, contract: Contract, version: str) -> Contract:
    """The contract with the version's threshold, band and interval."""
    try:
        run_id = manager.version(version).run_id
        text = manager.read_text(run_id, CONTRACT_FILE)
    except RegistryError as error:
        step(f"version {version}: its intervals and open decisions are not judged: {error}")
        return contract
    return deciding_as(contract, parse_contract(text))


def _quality(
    settings: Settings, contract: Contract, manager: MLflowManager, joined: "pd.DataFrame"
) -> LiveQuality:
    champion = manager.champion_version()
    if champion is None:
        return insufficient(metric_of(contract), "", f"{contract.model_name} has no champion")
    run = manager.run_record(champion)
    return judge_quality(
        contract,
        champion.version,
        run.metrics if run else {},
        _of(joined, model_version=champion.version),
        drop=settings.prediction_log.quality_drop,
        minimum=settings.monitoring.minimum_rows,
    )


def _of(rows: "pd.DataFrame", **columns: str) -> "pd.DataFrame":
    for name, value in columns.items():
        rows = rows[rows[name] == value]
    return rows


def _performance(
    contract: Contract,
    definitions: Model,
    version: str,
    day: str,
    predictions: int,
    labelled: "pd.DataFrame",
) -> Performance:
    figures: Mapping[str, float] = {}
    interval = None
    if len(labelled):
        interval = interval_of(contract, labelled)
        is_regression = contract.problem == "regression"
        figures = _of_values(labelled) if is_regression else _of_classes(contract, labelled)
        figures = {**figures, **_chosen(contract, definitions, labelled)}
    defined = {name: value for name, value in figures.items() if np.isfinite(value)}
    return Performance(version, day, predictions, len(labelled), defined, interval)


def _chosen(contract: Contract, definitions: Model, rows: "pd.DataFrame") -> dict[str, float]:
    """The metrics that the settings choose, and the project's own, as the gate computes them.

    One that looks at the rows, or at each class's probability, is left out: what comes back is the
    label, the prediction and its score.
    """
    scores = rows["score"].to_numpy("float64")
    if contract.problem == "regression":
        truth, decided = (rows[name].to_numpy("float64") for name in ("label", "prediction"))
        probabilities = None
    else:
        truth, decided = (rows[name].to_numpy(str) for name in ("label", "prediction"))
        probabilities = np.column_stack([1 - scores, scores]) if contract.is_binary else None
    predictions = Predictions(decided.tolist(), probabilities, scores.tolist())
    missing = {"rows"} if probabilities is not None else {"rows", "probability"}
    figures = {}
    for metric in (definitions.metric, *definitions.metrics):
        if metric is not None and not missing & set(metric.inputs):
            on = metric.on_rows(contract, truth, predictions, None)
            with naming(metric.function):
                figures[metric.name] = on(slice(None))
    return figures


def _of_values(rows: "pd.DataFrame") -> dict[str, float]:
    truth = rows["label"].to_numpy("float64")
    errors = rows["prediction"].to_numpy("float64") - truth
    spread = float(np.sum((truth - truth.mean()) ** 2))
    return {
        "rmse": float(np.sqrt(np.mean(errors**2))),
        "mae": float(np.mean(np.abs(errors))),
        "r2": 1 - float(np.sum(errors**2)) / spread if spread else float("nan"),
    }


def _of_classes(contract: Contract, rows: "pd.DataFrame") -> dict[str, float]:
    truth, predicted = rows["label"].to_numpy(str), rows["prediction"].to_numpy(str)
    figures = {"accuracy": float(np.mean(truth == predicted))}
    if contract.is_binary:
        positive = truth == contract.target.classes[1]
        scores = rows["score"].to_numpy("float64")
        chosen = np.clip(np.where(positive, scores, 1 - scores), 1e-15, 1)
        figures["roc_auc"] = area_under_roc(positive, scores)
        figures["log_loss"] = float(-np.mean(np.log(chosen)))
        figures["brier"] = float(np.mean((scores - positive) ** 2))
    return figures
