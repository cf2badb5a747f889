"""A trained project that a service has served for days: what the monitoring page has to show."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pyarrow as pa

from goldpath.contract import Contract
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.report import write_data_report
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.drift.live_performance import live_performance
from goldpath.quality.file_rows import typed_frame
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.sample.customers import write_sample
from goldpath.serving.feedback import FeedbackLog
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog
from goldpath.settings import Settings
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.read import read_raw

ROWS_A_DAY = 260
UNLABELLED_DAYS = 2
"""Labels of the newest days have not come yet."""


def serve_for_days(settings: Settings, contract: Contract, days: int, shifted: int) -> int:
    """Log predictions of the days before today, and the labels of all but the newest.

    Args:
        settings: The project.
        contract: Its contract.
        days: How many days.
        shifted: So many of them, the newest, have customers who pay more.

    Returns:
        How many labels there are.
    """
    manager = MLflowManager(settings, contract)
    champion = manager.champion_version()
    assert champion is not None
    model = manager.load(champion)
    usual = _customers(settings, contract, days - shifted, {})
    dearer = _customers(settings, contract, shifted, {"monthly_charges": 1.2})
    rows = pa.concat_tables([usual.slice(0, (days - shifted) * ROWS_A_DAY), dearer])
    predictions = model.predict(rows.select(contract.feature_names))
    features = rows.select(contract.feature_names).to_pylist()
    truth = rows[contract.target.column].to_pylist()
    log = PredictionLog(settings.root / settings.serving.prediction_log)
    labels = FeedbackLog(settings)
    today = datetime.now(UTC).replace(hour=6, minute=0, second=0, microsecond=0)
    labelled = (days - UNLABELLED_DAYS) * ROWS_A_DAY
    lines, known = [], []
    for place in range(days * ROWS_A_DAY):
        day, number = divmod(place, ROWS_A_DAY)
        at = today - timedelta(days=days - day) + timedelta(minutes=2 * number)
        identity = str(UUID(int=place))
        lines.append(
            LoggedPrediction(
                identity,
                at.isoformat(),
                champion.version,
                features[place],
                str(predictions.values[place]),
                float(predictions.scores[place]),
            )
        )
        if place < labelled:
            known.append({"prediction_id": identity, "label": truth[place], "at": None})
    log.write(lines)
    labels.write(known)
    log.close()
    labels.close()
    return labelled


def _customers(
    settings: Settings, contract: Contract, days: int, drift: dict[str, float]
) -> pa.Table:
    """Rows for so many days; the sample brings a few bad ones, which are left out."""
    file = settings.root / "data" / "sample" / f"{'dearer' if drift else 'usual'}.csv"
    write_sample(file, days * ROWS_A_DAY + 20 * days, 100 + days, drift)
    raw = read_raw(detect_dialect(file, contract.source), settings.root)
    rows = typed_frame(raw, contract, None)
    assert rows.num_rows >= days * ROWS_A_DAY
    return rows


def watch(settings: Settings, contract: Contract) -> None:
    """What one runs against such a project: checks of two sources, labels, reports."""
    predict_batch(settings, contract, settings.root / "data" / "sample" / "dearer.csv", "night")
    for source in ("service", "batch"):
        check_drift(settings, contract, None, html=False, source=source)
    live_performance(settings, contract)
    write_data_report(settings, contract)
