"""What each stage of a training leaves for the later ones, and for people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from goldpath.contract import GroupThresholds, PredictionInterval
from goldpath.learning.decision.choice import Decided
from goldpath.learning.metrics import Figure, Score
from goldpath.presentation import FOR_SCRIPTS


@dataclass(frozen=True)
class Extracted:
    """The stage `extract`: the data that a training reads.

    Attributes:
        snapshot_id: Of the gold table.
        table: The gold table.
        rows: Its rows.
        committed_at: When the snapshot was written, in UTC.
        quarantine_share: Refused rows among all that were checked.
        unlabelled_rows: Rows that have no label yet, where the target is made from events; they are
            not learned from.
    """

    snapshot_id: int
    table: str
    rows: int
    committed_at: datetime
    quarantine_share: float
    unlabelled_rows: int = 0


@dataclass(frozen=True)
class Divided:
    """The stage `features`: how the rows were divided.

    Attributes:
        split: The rule, for people.
        train_rows: Training rows, before a step of the project's own replaced them.
        test_rows: Test rows.
        train_digest: SHA-256 of the training rows.
        test_digest: SHA-256 of the test rows.
        constant_features: Features with one value in all training rows.
    """

    split: str
    train_rows: int
    test_rows: int
    train_digest: str
    test_digest: str
    constant_features: tuple[str, ...]


@dataclass(frozen=True)
class EnsembleSearch:
    """What AutoML adds to the stage `train`.

    Attributes:
        weights: Of the ensemble's members, by family.
        best_single: Score of the best single configuration.
        seconds: What the search took.
        budget_seconds: What it was given; None where configurations were counted instead.
        left_out: Families that could not be used, and why.
        findings: What was found about the rows, done and asked; a sentence each.
        expected: Where the held-out score of new rows is expected, with 95 %.
        latency_ms: What the ensemble takes for one row before it is compiled.
    """

    weights: Mapping[str, float]
    best_single: Figure
    seconds: float
    budget_seconds: float | None
    left_out: Mapping[str, str]
    findings: tuple[str, ...] = ()
    expected: tuple[Figure, Figure] | None = None
    latency_ms: float | None = None


@dataclass(frozen=True)
class Found:
    """The stage `train`: the winner of the search.

    Attributes:
        family: Its family; `automl` for an ensemble.
        parameters: What it is built with; names and values are the family's own.
        score: Mean of the main metric over the folds.
        fold_scores: The main metric on each fold.
        trials: Configurations that were tried.
        pruned: Of these, how many were given up after a fold.
        learned_rows: Rows that the winner learns from.
        learned_digest: SHA-256 of these rows.
        ensemble: Of an AutoML search.
        threshold: Where the winner decides for the positive class; None: the most probable class.
        unsure: Around the threshold: where it leaves the decision open.
        prediction_interval: Around the answers of a regression.
        thresholds: Of several classes those that have one, by `decision`.
        searched_rows: Of the rows to learn from, so many were drawn for the trials; None where
            the trials looked at all of them.
        segments: Of a clustering the names of its segments by their numbers.
        groups: The groups whose threshold is another one.
    """

    family: str
    parameters: Mapping[str, Any]
    score: Figure
    fold_scores: tuple[Figure, ...]
    trials: int
    pruned: int
    learned_rows: int
    learned_digest: str
    ensemble: EnsembleSearch | None
    threshold: float | None = None
    unsure: tuple[float, float] | None = None
    prediction_interval: PredictionInterval | None = None
    thresholds: dict[str, float] | None = None
    searched_rows: int | None = None
    segments: dict[int, str] | None = None
    groups: GroupThresholds | None = None

    @property
    def decided(self) -> Decided:
        """What the version's contract has beside the project's."""
        return Decided(
            self.threshold,
            self.unsure,
            self.prediction_interval,
            self.thresholds,
            self.segments,
            self.groups,
        )


@dataclass(frozen=True)
class Judged:
    """The stage `evaluate`: how good the winner is on the test rows.

    Attributes:
        metric: The main metric; more is better.
        value: Its value.
        interval: Its 95 % bootstrap interval.
        baseline: The same metric of a model that ignores the features; of a forecast, of the
            seasonal-naive one.
        champion: The same metric of today's champion; None where there is none.
        search_score: What the search maximised, on its folds: the same metric, or the problem's
            usual one in an AutoML search.
        others: Further metrics, by name.
        worst_slice: Where the model errs most, beyond luck; empty where nowhere.
        predictions_digest: SHA-256 of the predictions of the test rows, to nine digits.
        plot: ROC, calibration and importances as a PNG.
        card: The model card.
    """

    metric: str
    value: Figure
    interval: tuple[Figure, Figure]
    baseline: Figure
    champion: float | None
    search_score: Figure
    others: Mapping[str, Score]
    worst_slice: str
    predictions_digest: str
    plot: str
    card: str


Plain = str | int | float | bool | None


@dataclass(frozen=True)
class LearnedRows:
    """The rows that a step of the project's own handed to `TrainingWork.learn_from`.

    Attributes:
        rows: How many.
        digest: SHA-256 of them.
    """

    rows: int
    digest: str


@dataclass(frozen=True)
class OwnResult:
    """What a step of the project's own left.

    Attributes:
        values: What it returned, by name; None where it returned nothing.
        learned: The rows to learn from that it handed over; None where it handed over none.
    """

    values: Mapping[str, Plain] | None
    learned: LearnedRows | None


@dataclass(frozen=True)
class TrainingResult:
    """A registered candidate and what is known of it.

    Attributes:
        problem_type: Classification, regression or clustering.
        metric: The main metric; more is better.
        value: On the test rows.
        interval: Its 95 % bootstrap interval.
        baseline: The same metric of a model that ignores the features; of a forecast, of the
            seasonal-naive one.
        champion: The same metric of the champion of that moment; None where there was none.
        noise_ceiling: AUC of the true probabilities on the test rows; the generated sample only.
        family: The family that won the search.
        trials: Configurations that were tried, and of these the pruned ones.
        n_train: Training rows.
        n_test: Test rows.
        split: How they were divided.
        worst_slice: Where the model errs most, beyond luck; empty where nowhere.
        model: The registered model.
        model_version: The candidate's version; empty before it is registered.
        semantic_version: What changed against the former version, as major.minor.patch; empty
            before it is registered.
        run_id: MLflow's run.
        gold_snapshot: The data that was read.
        predictions_digest: SHA-256 of the predictions of the test rows, to nine digits.
        plot: ROC, calibration and importances as a PNG.
        card: The model card.
        threshold: Where it decides for the positive class, by `decision`; None: the most probable
            class.
        baseline_is: What the baseline does.
        unsure: Around the threshold: where the decision is left open.
        prediction_interval: Around the answers of a regression.
        thresholds: Of several classes those that have one.
        others: Further metrics on the test rows, by name.
        searched_rows: So many of the training rows were drawn for the trials; None: all.
        segments: Of a clustering the names of its segments by their numbers.
        segments_page: Of a clustering the page that describes them; else empty.
        groups: The groups whose threshold is another one.
    """

    problem_type: str
    metric: str
    value: Figure
    interval: tuple[Figure, Figure]
    baseline: Figure
    champion: float | None
    noise_ceiling: float | None
    family: str
    trials: str
    n_train: int
    n_test: int
    split: str
    worst_slice: str
    model: str
    model_version: str
    semantic_version: str
    run_id: str
    gold_snapshot: int
    predictions_digest: str = field(metadata=FOR_SCRIPTS)
    plot: str
    card: str
    threshold: float | None = None
    baseline_is: str = ""
    unsure: tuple[float, float] | None = None
    prediction_interval: PredictionInterval | None = None
    thresholds: dict[str, float] | None = None
    others: Mapping[str, Figure] = field(default_factory=dict)
    searched_rows: int | None = None
    segments: dict[int, str] | None = None
    segments_page: str = ""
    groups: GroupThresholds | None = None
