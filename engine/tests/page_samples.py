"""Every page that goldpath makes, from values as real ones are."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from goldpath.automl import report_page
from goldpath.automl.report import Dependence, Importance, Point, Report
from goldpath.automl.result import HistoryPoint, LeaderboardEntry, Option
from goldpath.automl.structure.findings import SPOKEN_FOLDS, Finding
from goldpath.contract import Contract
from goldpath.drift import report as drift_report
from goldpath.drift.persistence import SourceVerdict
from goldpath.drift.source_decision import ColumnShift, SourceDecision
from goldpath.drift.window_verdict import WindowVerdict
from goldpath.jobs.data import page as data_page
from goldpath.jobs.data.lake_state import LakeState
from goldpath.judging.segments.page import SegmentsPage
from goldpath.judging.validation_report import (
    ValidationReport,
    ValidationResult,
    ValidationSeverity,
    ValidationStatus,
)
from goldpath.lake.column_summary import ColumnSummary
from goldpath.lake.lakehouse import Snapshot, TableName
from goldpath.lake.run_log import RunRecord
from goldpath.learning.segments.profile import Difference, SegmentProfile
from goldpath.learning.segments.quality import Figures
from goldpath.monitor import page as monitor_page
from goldpath.monitor.drift_windows import SourceDrift
from goldpath.monitor.lake_runs import Run, SourceFreshness
from goldpath.monitor.predictions import Predictions, Scores
from goldpath.monitor.quality import LiveQuality
from goldpath.monitor.running import OpenAlert, OpenAlerts, ServiceTraffic
from goldpath.monitor.state import MonitorState
from goldpath.monitor.stores import Section
from goldpath.monitor.written_reports import KnownReport, ReportFile
from goldpath.serving.operations.registry_facts import Move, RegistryStats, VersionFacts
from goldpath.serving.pages.home import render_page
from goldpath.serving.pages.reference import render_reference

WHEN = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Sample:
    """A page: the values that it is made from, how, and the templates that are meant by it."""

    template: str
    values: Any
    render: Callable[[Any], str]


def samples() -> dict[str, Sample]:
    """A full page of each kind, and those whose values leave parts out, by name."""
    return {
        "validation": Sample("validation.html", _validation(), ValidationReport.to_html),
        "validation of nothing": Sample(
            "validation.html", ValidationReport("churn", "", 0, WHEN, ()), ValidationReport.to_html
        ),
        "automl": Sample("automl.html", _search(), report_page.render_page),
        "automl in a hurry": Sample("automl.html", _hurried(), report_page.render_page),
        "data": Sample("data.html", _lake(), data_page.render_page),
        "data of one day": Sample("data.html", _small_lake(), data_page.render_page),
        "drift": Sample("drift.html", _drift(), _drift_page),
        "monitor": Sample("monitor.html", _monitor(), _monitor_page),
        "monitor of nothing": Sample("monitor.html", _monitor_of_nothing(), _monitor_page),
        "segments": Sample("segments.html", _segments(), SegmentsPage.to_html),
        "service": Sample("service.html", CONTRACT, _service_page),
        "service with keys": Sample("service.html", CONTRACT, _service_page_with_keys),
        "reference": Sample("reference.html", OPENAPI, _reference_page),
    }


def _segments() -> SegmentsPage:
    """Two segments, of which one differs in nothing that may be shown."""
    differences = (
        Difference("tenure", "", 41.5, 22.25, 0.9, "high tenure"),
        Difference("plan", "basic", 0.7, 0.4, 0.6, "plan=basic"),
        Difference("income", "", None, None, -0.5, "low income"),
    )
    return SegmentsPage(
        model="churn",
        profiles=(
            SegmentProfile(1, "loyal", "high tenure, plan=basic", 700, 0.7, 0.98, differences),
            SegmentProfile(2, "segment_2", "like all rows", 300, 0.3, 0.55, ()),
        ),
        figures=Figures(
            stability=(0.9, 0.95),
            recovered=(0.98, 0.55),
            silhouette=0.5,
            silhouette_interval=(0.48, 0.52),
            sizes=(0.7, 0.3),
            noise_silhouettes=(0.2, 0.21),
            gaussian_silhouettes=(0.22, 0.25),
            permuted_silhouettes=(0.3, math.nan),
            noise_stability=0.6,
            fitted_rows=800,
            judged_rows=200,
        ),
        rows=1000,
        tried=((2, 0.93, 0.5, 0.3), (3, math.nan, math.nan, 0.01)),
        chosen=2,
        notes=("segment_3 is gone",),
        created=WHEN,
    )


def _drift_page(decision: SourceDecision) -> str:
    nothing = pa.table({})
    drawn = drift_report.Drawn(
        title=f"churn version 3: {decision.columns[0].name}",
        window="2026-11-19 00:00 to 2026-11-20 00:00 UTC",
        notes=("120 rows since 2026-11-20 00:00 UTC are judged when their window has ended",),
        reference=nothing,
        current=nothing,
    )
    return drift_report.render_page(drawn, decision, 5000, frame_of(decision))


def _monitor_page(state: MonitorState) -> str:
    return monitor_page.render_page(state, reports="", is_live=False)


def frame_of(decision: SourceDecision) -> str:
    """A document in Evidently's place; it shows what clients sent, as Evidently does."""
    return f'<!doctype html><p class="plots">{decision.columns[0].name}</p>'


def _service_page(contract: Contract) -> str:
    return render_page(contract, needs_key=False)


def _service_page_with_keys(contract: Contract) -> str:
    return render_page(contract, needs_key=True)


def _reference_page(openapi: Mapping[str, Any]) -> str:
    return render_reference(openapi, "http://127.0.0.1:8000/")


def _validation() -> ValidationReport:
    def result(name: str, status: ValidationStatus, message: str, **more: Any) -> ValidationResult:
        return ValidationResult(name, status, message, **more)

    groups = {
        "plan = free": {"rows": 812.0, "roc_auc": 0.8123, "selected": 0.231},
        "plan = paid": {"rows": 1200.0, "roc_auc": 0.7911, "selected": 0.187},
        "plan: largest difference": {"roc_auc": 0.0212, "note": "within chance"},
    }
    return ValidationReport(
        "customer_churn",
        "7",
        2012,
        WHEN,
        (
            result("enough test rows", ValidationStatus.PASSED, "2012 test rows, 200 needed"),
            result(
                "not worse than the champion",
                ValidationStatus.FAILED,
                "roc_auc 0.7810 against 0.8124; the difference is -0.0314 (95 %: -0.0401 to "
                "-0.0221, DeLong)",
                score=0.781,
                threshold=0.8124,
            ),
            result("bias", ValidationStatus.WARNING, "groups differ by 0.02", details=groups),
            result(
                "size",
                ValidationStatus.FAILED,
                "41 MB, 40 MB allowed",
                severity=ValidationSeverity.LOW,
            ),
            result(
                "data drift",
                ValidationStatus.NOT_ENOUGH_DATA,
                "90 rows, 100 needed",
                optional=True,
            ),
        ),
    )


def _search() -> Report:
    families = ("boosting", "extra_trees", "linear", "neighbours", "random_forest")
    leaderboard = tuple(
        LeaderboardEntry(
            number=number,
            family=families[number % len(families)],
            parameters={
                "max_depth": 3 + number % 9,
                "learning_rate": 0.031 * (1 + number % 5),
                "criterion": "entropy",
                "early": number % 2 == 0,
                "weights": None,
            },
            state="failed" if number == 30 else "complete",
            score=None if number == 30 else 0.31 + 0.004 * number,
            fold_scores=(),
            seconds=0.4 + number / 7,
            predict_microseconds=0.0 if number == 30 else 2.0 + 40.0 * ((number * 7) % 11),
            in_portfolio=number < 5,
            weight=0.25 if number < 4 else 0.0,
            reason="out of memory" if number == 30 else "",
        )
        for number in range(45)
    )
    points = tuple(
        Point(f"{entry.family} #{entry.number}", entry.score, entry.predict_microseconds,
              entry.number in (0, 11, 22))
        for entry in leaderboard if entry.score is not None
    )  # fmt: skip
    numbers = tuple(float(value) for value in range(0, 72, 6))
    return Report(
        title="customer_churn",
        made_at="2026-11-20T12:30:00+00:00",
        problem="classification",
        metric="log_loss",
        greater_is_better=False,
        score=0.30123456,
        best_single_score=0.31,
        baseline_score=0.5623,
        seconds=118.4,
        budget_seconds=120,
        rows=12_000,
        features=19,
        folds=5,
        seed=0,
        leaderboard=leaderboard,
        history=tuple(
            HistoryPoint(float(4 * step), step, 0.31 + 0.2 / (step + 1), 0.30 + 0.18 / (step + 1))
            for step in range(24)
        ),
        left_out={"catboost": "the library is not installed", "svm": "12000 rows are too many"},
        rows_seen=False,
        judged_rows=500,
        importances=tuple(
            Importance(name, 0.12 / (place + 1) - 0.02, 0.004)
            for place, name in enumerate(
                ("tenure_months", "contract_type", "monthly_charges", "paid_total_90d", "noise")
            )
        ),
        features_not_judged=14,
        attributions={"tenure_months": 0.41, "contract_type": 0.22, "monthly_charges": 0.05},
        dependences=(
            Dependence(
                "tenure_months",
                numbers,
                {"P(yes)": tuple(0.6 * math.exp(-value / 24) for value in numbers)},
            ),
            Dependence(
                "contract_type",
                ("month-to-month", "one year", "two years"),
                {"P(yes)": (0.43, 0.12, 0.04)},
            ),
            Dependence(
                "monthly_charges",
                numbers,
                {
                    name: tuple(start + value / 400 for value in numbers)
                    for name, start in {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}.items()
                },
            ),
        ),
        points=(*points, Point("ensemble", 0.30123456, 600.0, True)),
        interval=(0.281, 0.322),
        judged_on=SPOKEN_FOLDS["time"],
        findings=(
            Finding(
                "order",
                "date",
                "the rows rise with date",
                "each fold is judged on newer",
                option="time_ordered=False",
            ),
            Finding(
                "groups",
                "shop",
                "shop has 30 values",
                "the time decides",
                "Has each new row a shop that is not known here?",
                'groups="shop"',
            ),
        ),
        options=(
            Option(("boosting", "linear"), 20, 0.30123456, 8.4, False, True, True),
            Option(("boosting",), 5, 0.31, 1.2, True, True, False),
        ),
        latency_ms=8.61,
    )


def _hurried() -> Report:
    full = _search()
    return Report(
        **(
            vars(full)
            | {
                "budget_seconds": None,
                "leaderboard": (),
                "history": (),
                "interval": None,
                "findings": (),
                "options": (),
                "points": (Point("ensemble", math.nan, 1.0, False),),
                "left_out": {},
                "score": math.nan,
                "rows_seen": True,
                "importances": (),
                "attributions": {},
                "dependences": (),
            }
        )
    )


def _record(step: str, subject: str, number: int, rows: tuple[int, int, int, int]) -> RunRecord:
    rows_in, rows_out, quarantined, duplicates = rows
    then = WHEN + timedelta(hours=number)
    return RunRecord(
        run_id=f"run-{number}",
        step=step,
        subject=subject,
        rows_in=rows_in,
        rows_out=rows_out,
        quarantined=quarantined,
        duplicates=duplicates,
        forgotten=number % 3,
        snapshot=8_011_223_344 + number,
        fingerprint=f"{number:x}c0ffee{number:x}",
        started_at=then,
        finished_at=then,
    )


def _snapshot(name: str, rows: int) -> Snapshot:
    return Snapshot(TableName("shop", name), 4_611_686_018, WHEN, rows)


def _column(name: str, kind: str, counts: Mapping[str, int], **more: Any) -> ColumnSummary:
    rows = 81_204
    values: dict[str, Any] = {
        "missing": 0, "distinct": len(counts), "minimum": None, "mean": None, "maximum": None,
        "is_personal": False,
    }  # fmt: skip
    return ColumnSummary(
        name=name, type=kind, rows=rows, counts=tuple(counts.items()), **(values | more)
    )


def _lake() -> LakeState:
    months = [f"{2025 + month // 12}-{month % 12 + 1:02}" for month in range(20)]
    intervals = [
        _record("silver", name, number, (4000 + 90 * number, 3890 + 90 * number - 7 * number,
                                         60 + 5 * number, 50 + 2 * number))
        for number, name in enumerate(months)
    ]  # fmt: skip
    broken = _record("silver", "2026-09", 21, (100, 90, 3, 3))
    bell = {
        f"{20 + 5 * bin_}": round(6000 * math.exp(-((bin_ - 8) ** 2) / 20)) for bin_ in range(20)
    }
    return LakeState(
        dataset="customer_churn",
        source="data/raw/customers/2026/*.csv",
        made_at=WHEN,
        tables={
            "bronze": _snapshot("bronze", 96_010),
            "silver": _snapshot("silver", 81_204),
            "quarantine": _snapshot("quarantine", 2150),
            "gold": _snapshot("gold", 81_204),
        },
        deliveries=[
            _record("bronze", f"data/raw/customers/2026/part-{number:04}.csv", number,
                    (4000, 4000 - number, 0, 0))
            for number in range(24)
        ],
        intervals=[*intervals, broken],
        reasons={"monthly_charges: is above 1000": 1702, "plan: is not one of the categories": 448},
        newest_event=WHEN,
        newest_ingestion=WHEN,
        training_runs=("train-1a2b", "train-3c4d"),
        columns=[
            _column("monthly_charges", "number", bell, minimum=18.2, mean=64.76, maximum=118.7),
            _column("plan", "category", {"free": 50_112, "paid": 31_000, "a long name " * 5: 92}),
            _column("birthday", "category", {"1970-01-01": 3}, is_personal=True),
            _column("empty", "integer", {}, missing=81_204),
            _column("churned", "category", {"no": 60_001, "yes": 21_203}),
        ],
    )  # fmt: skip


def _small_lake() -> LakeState:
    full = _lake()
    return LakeState(
        **(
            vars(full)
            | {
                "tables": {"gold": _snapshot("gold", 12)},
                "intervals": [_record("silver", "all", 0, (12, 12, 0, 0))],
                "reasons": {},
                "newest_event": None,
                "training_runs": (),
                "columns": [],
            }
        )
    )


def _drift() -> SourceDecision:
    def column(name: str, effect: float, reason: str, test: Any = "value") -> ColumnShift:
        return ColumnShift(
            name=name, kind="number", test=test, effect=effect, limit=0.1,
            detectable=0.17 if test else None, p_value=3e-12 / effect, own_p_value=1e-12 / effect,
            drifted=effect > 0.1, reason=reason,
        )  # fmt: skip

    message = (
        "monthly_charges: mean 64.76 -> 83.21; region: 0.0% -> 33.5% in unseen categories, since "
        "2026-11-18 00:00, in 2 of the last 3 windows; a shift of 0.17 in a typical column would "
        "have been seen"
    )
    return SourceDecision(
        source=SourceVerdict("drift", 1, 2, 3, WHEN, (), message),
        window=WindowVerdict(
            start=WHEN, state="alarm", rows=2000, reference_rows=24_000, calibration="windows",
            windows=56, p_value=1e-12, detectable=0.17, shifts=(), untested=(), message=message,
            sensitivity="a shift of 0.17 in a typical column would have been seen",
        ),
        columns=(
            column("monthly_charges", 1.337, "mean 64.76 -> 83.21"),
            column("region", 0.438, '"north" 0.0% -> 33.5%; 0.0% -> 33.5% in unseen categories'),
            column("tenure_months", 0.013, "no shift: mean 32.1 -> 32.4"),
            column("empty", 0.001, "no value on either side", test=None),
        ),
    )  # fmt: skip


def _monitor() -> MonitorState:
    return MonitorState(
        model="",
        dataset="customer_churn",
        environment="production",
        made_at=WHEN,
        drift=(Section(_service_drift()), Section(_batch_drift())),
        quality=Section(_live_quality()),
        predictions=Section(_predictions(is_probability=True)),
        registry=Section(
            RegistryStats(
                model_name="churn", versions=30, by_stage={}, aliases={"champion": "3"}, gate={},
                newest=[
                    VersionFacts(
                        model_version=f"{number}", semantic_version=f"1.{number}.0", stage="None",
                        aliases=["champion"] if number == 3 else [],
                        gate="passed" if number % 2 else "refused",
                        created=f"2026-11-{number:02}T10:00:00+00:00", signed_by="key",
                        compiled=None, description="",
                    )
                    for number in range(4, 0, -1)
                ],
            )
        ),
        moves=Section(
            [
                Move(record=4, time="2026-11-03T10:11:12Z", actor="churn-team@build-server-7",
                     action="promoted", alias="champion", before="1", after="3"),
                Move(record=2, time="2026-11-01T10:11:12Z", actor="churn-team@build-server-7",
                     action="promoted", alias="champion", before=None, after="1"),
            ]
        ),
        alerts=Section(
            OpenAlerts(
                "Prometheus",
                (OpenAlert("DriftDetected", "service", "firing", "2026-11-20T11:00:00",
                           "Drift in the rows of service"),),
                "Nobody is told of them: Alertmanager does not answer",
            )
        ),
        traffic=Section(_service_traffic()),
        sources=Section(
            (
                SourceFreshness("customer_churn", 81_204, 2150, WHEN, WHEN),
                SourceFreshness("payments", None, 0, None, None),
            )
        ),
        runs=(
            Section((Run("data: gold", WHEN, "81,204 rows"),)),
            Section(
                (Run("gate", WHEN - timedelta(days=1), "version 4 was refused", "bad"),),
            ),
        ),
        reports=(ReportFile("data.html", "Data: lineage, quarantine, columns", WHEN),),
        missing=(KnownReport("automl.html", "AutoML: the last search", "make automl"),),
        servers={},
    )  # fmt: skip


def _monitor_of_nothing() -> MonitorState:
    """A regression whose registry and Prometheus are down, and that has nothing but predictions."""
    return dataclasses.replace(
        _monitor(),
        drift=(Section(problem="reports/drift/service.json is no JSON", fix="make drift-check"),),
        quality=Section(None),
        predictions=Section(_predictions(is_probability=False)),
        registry=Section(problem="the registry does not answer", fix="make mlflow-up"),
        moves=Section([]),
        alerts=Section(problem="Prometheus does not answer", fix="make monitoring-up"),
        traffic=Section(problem="Prometheus does not answer", fix="make monitoring-up"),
        sources=Section(problem="the catalog is damaged", fix="make restore"),
        runs=(),
        reports=(),
    )


def _service_drift() -> SourceDrift:
    names = [f"{name}_{number}" for number in range(4) for name in ("charges", "tenure", "tickets")]
    windows = []
    for number in range(45):
        start = WHEN.replace(hour=0, minute=0) - timedelta(days=45 - number)
        distances = {
            name: [0.02 + 0.005 * ((number * 7 + place * 5) % 13), 0.1]
            for place, name in enumerate(names)
        }
        shifts = [{"column": "charges_0", "effect": 1.3, "limit": 0.1}] if number > 41 else []
        few = number == 20
        windows.append(
            {
                "start": start, "rows": 12 if few else 2000 + number,
                "state": "alarm" if shifts else "insufficient" if few else "ok",
                "message": "charges_0: mean 64.76 -> 83.21" if shifts else "no drift",
                "shifts": shifts, "distances": {} if few or number < 3 else distances,
                "estimate": None if few else {"value": 0.8, "interval": [0.77, 0.83]},
            }
        )  # fmt: skip
    return SourceDrift.model_validate(
        {
            "kind": "service", "source": "31,022 predictions of the service", "verdict": "drift",
            "message": "charges_0: mean 64.76 -> 83.21, since 2026-11-17 00:00, in 3 of the last 3",
            "checked_at": WHEN, "model_version": "3", "rows": 2044, "window": "2026-11-19 to 20",
            "calibration": "windows", "notes": ["120 rows are judged when their window has ended"],
            "key": {"window": "1d"}, "history": windows,
            "estimate": {"message": "roc_auc 0.8", "metric": "roc_auc", "reference": 0.82},
            "columns": [
                {"name": "charges_0", "effect": 1.3, "limit": 0.1, "drifted": True, "reason": "x"}
            ],
        }
    )  # fmt: skip


def _batch_drift() -> SourceDrift:
    return SourceDrift.model_validate(
        {
            "kind": "batch", "source": "batch run night", "verdict": "ok", "message": "no drift",
            "checked_at": WHEN, "model_version": "3", "rows": 5000, "calibration": "iid",
            "columns": [
                {"name": "a name of a column that is far longer than a phone is wide",
                 "effect": 0.03, "limit": 0.2, "drifted": False},
            ],
        }
    )  # fmt: skip


def _live_quality() -> LiveQuality:
    def quality(version: str, day: str, value: float, labelled: int) -> dict[str, Any]:
        return {
            "model_version": version, "day": day, "predictions": 2000, "labelled": labelled,
            "metrics": {"roc_auc": value} if labelled else {},
            "interval": [value - 0.03, value + 0.03] if labelled else None,
        }  # fmt: skip

    days = [f"2026-11-{number:02}" for number in range(1, 19)]
    return LiveQuality.model_validate(
        {
            "checked_at": WHEN, "since": "2026-11-01", "labels": 20_000, "unmatched_labels": 12,
            "quality": {
                "verdict": "low", "message": "roc_auc 0.7012", "metric": "roc_auc",
                "model_version": "3", "value": 0.7012, "interval": [0.68, 0.72], "limit": 0.78,
                "tested": 0.82, "labelled": 900,
            },
            "versions": [quality("1", "all", 0.8, 9000), quality("3", "all", 0.74, 11_000)],
            "days": [
                *(quality("1", day, 0.80, 800) for day in days[:6]),
                *(quality("3", day, 0.82 - 0.01 * at, 800) for at, day in enumerate(days[4:])),
                quality("3", "2026-11-19", 0.0, 0),
            ],
        }
    )  # fmt: skip


def _predictions(*, is_probability: bool) -> Predictions:
    today = WHEN.date()
    by_source: dict[str, dict[date, Scores]] = {"service": {}, "batch": {}}
    for number in range(30):
        scores = Scores()
        for place in range(40 + number):
            scores.add((place * 7 % 41) / 41 if is_probability else 900.0 + place)
        by_source["batch" if number % 7 == 0 else "service"][today - timedelta(days=number)] = (
            scores
        )
    return Predictions(
        days=tuple(today - timedelta(days=29 - number) for number in range(30)),
        by_source=by_source,
        is_probability=is_probability,
        uncounted=80 << 20,
        unreadable=2,
    )


def _service_traffic() -> ServiceTraffic:
    times = tuple(WHEN - timedelta(minutes=5 * (72 - number)) for number in range(73))
    nothing = (math.nan,) * 10
    return ServiceTraffic(
        is_up=True,
        times=times,
        requests=(*nothing, *(3 + math.sin(number / 9) for number in range(63))),
        errors=(*nothing, *(0.0 for _ in range(63))),
        latency=(*nothing, *(4.0 + number % 5 for number in range(63))),
    )


CONTRACT = Contract.model_validate(
    {
        "dataset": "customer_churn",
        "problem": "classification",
        "source": {"path": "data/raw"},
        "target": {"column": "churned", "classes": ["no", "yes"]},
        "features": [
            {
                "name": "tenure_months",
                "type": "integer",
                "minimum": 0,
                "maximum": 72,
                "description": "Months since the first contract",
            },
            {"name": "monthly_charges", "type": "number", "minimum": 0, "nullable": True},
            {"name": "discount", "type": "number", "maximum": 0.5},
            {"name": "balance", "type": "number"},
            {"name": "paperless", "type": "boolean"},
            {"name": "partner", "type": "boolean", "nullable": True},
            {"name": "plan", "type": "category", "categories": ["free", "paid"], "nullable": True},
            {"name": "note", "type": "category", "nullable": True, "example": "a note"},
        ],
    }
)

OPENAPI: dict[str, Any] = {
    "info": {"title": "customer_churn", "description": "Predicts `churned` from a row."},
    "paths": {
        "/model": {"get": {"tags": ["model"], "responses": {"200": {"description": "the model"}}}},
        "/predict": {
            "post": {
                "tags": ["predictions"],
                "description": "Answers with a `prediction`; an unpaired ` stays.",
                "parameters": [
                    {"name": "trace", "in": "query", "schema": {"type": "string"}},
                    {"name": "limit", "in": "query", "required": True, "schema": {"enum": [1, 2]}},
                ],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {
                                "oneOf": [
                                    {"$ref": "#/components/schemas/ByRow"},
                                    {"$ref": "#/components/schemas/ByKey"},
                                ]
                            }
                        }
                    }
                },
                "responses": {
                    "200": {
                        "description": "The answer",
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "array",
                                    "items": {"$ref": "#/components/schemas/Row"},
                                }
                            }
                        },
                    },
                    "422": {"description": "Not what the contract allows"},
                },
            }
        },
    },
    "components": {
        "schemas": {
            "ByRow": {
                "title": "By row",
                "required": ["features"],
                "properties": {"features": {"$ref": "#/components/schemas/Row"}},
                "examples": [{"features": {"note": "it's fine"}}],
            },
            "ByKey": {"title": "By key", "properties": {"id": {"type": "string"}}},
            "Row": {
                "title": "Row",
                "properties": {
                    "note": {"description": "A note"},
                    "charges": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                },
            },
        }
    },
}
