"""Judging a model on rows that it never saw: the score, a baseline, importances and plots."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.features.row.complete import complete_rows
from goldpath.judging.baseline import baseline_model
from goldpath.judging.error_analysis import Slice, analyse_errors
from goldpath.learning.decision.quality import IntervalMetric
from goldpath.learning.frames import model_frame, target_values
from goldpath.learning.metric import Metric
from goldpath.learning.metrics import Score, bootstrap_score, metric_value, other_scores
from goldpath.learning.scoring import LoadedModel, Predictions
from goldpath.project import ENGINES_OWN, Model
from goldpath.settings import TrainingSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMPORTANCE_ROWS = 1000
FEWEST_IMPORTANCE_ROWS = 100
IMPORTANCE_VALUES = 400_000_000
"""What a model is given to find its importances: each feature costs a look at all of a row, so that
tables of more than 630 features are looked at on fewer rows."""
LEAST_OF_A_CLASS = 20
SHOWN_FEATURES = 15


@dataclass(frozen=True)
class Evaluation:
    """What is known of a model after the test.

    Attributes:
        score: Main metric on the test rows, with its interval.
        baseline: Main metric of `baseline_model`: the training prior or mean, or of a forecast the
            value of a season ago.
        others: Further metrics, with their intervals.
        other_baselines: The same metrics of that model.
        slices: The loss on parts of the test rows, the worst first.
        importances: Loss of the metric when a feature is shuffled (Breiman 2001), largest first.
        predictions: The model's predictions of the test rows.
    """

    score: Score
    baseline: float
    others: Mapping[str, Score]
    other_baselines: Mapping[str, float]
    slices: tuple[Slice, ...]
    importances: Mapping[str, float]
    predictions: Predictions


def evaluate(
    model: LoadedModel,
    train: pd.DataFrame,
    test: pd.DataFrame,
    settings: TrainingSettings,
    definitions: Model = ENGINES_OWN,
) -> Evaluation:
    """Score a model on test rows, beside a baseline fitted on the training rows.

    Args:
        model: The model.
        train: Rows that it learned from.
        test: Rows that it has not seen.
        settings: Bootstrap samples and seed.
        definitions: The project's own metrics.
    """
    samples, seed, own = settings.bootstrap_samples, settings.seed, definitions.metric
    contract = model.contract
    truth = target_values(test, contract)
    predictions = model.predict(test)
    baseline = baseline_model(train, contract).predict(test)

    own_metrics = {each.name: each for each in definitions.metrics}

    def others(predicted: Predictions, resamples: int) -> dict[str, Score]:
        return other_scores(
            contract, truth, predicted, resamples, seed, definitions.metrics, test, own
        )

    return Evaluation(
        score=bootstrap_score(contract, truth, predictions, samples, seed, own, test),
        baseline=metric_value(contract, truth, baseline, own, test),
        others=others(predictions, samples),
        other_baselines={
            name: score.value
            for name, score in others(baseline, 0).items()
            if not isinstance(own_metrics.get(name), IntervalMetric)  # they are the model's
        },
        slices=analyse_errors(model, test, predictions, own),
        importances=permutation_importances(model, test, seed, own),
        predictions=predictions,
    )


def permutation_importances(
    model: LoadedModel, test: pd.DataFrame, seed: int, own: Metric | None = None
) -> dict[str, float]:
    """How much the main metric loses when one feature's values are shuffled, largest first.

    At most 1 000 test rows are looked at, and some of each class; of more than 630 features fewer.
    """
    random = np.random.default_rng(seed)
    rows = complete_rows(_drawn(test, model.contract, seed), model.contract)
    frame, truth = model_frame(rows, model.contract), target_values(rows, model.contract)
    whole = metric_value(model.contract, truth, model.predict_frame(frame), own, rows)
    losses: dict[str, float] = {}
    for name in frame.columns:
        shuffled = frame.copy()
        shuffled[name] = shuffled[name].to_numpy()[random.permutation(len(shuffled))]
        found = metric_value(model.contract, truth, model.predict_frame(shuffled), own, rows)
        losses[name] = whole - found
    return dict(sorted(losses.items(), key=lambda item: -np.nan_to_num(item[1])))


def _drawn(test: pd.DataFrame, contract: Contract, seed: int) -> pd.DataFrame:
    """A sample of the test rows that holds some of each class, however rare it is."""
    affordable = IMPORTANCE_VALUES // len(contract.features) ** 2
    most = min(IMPORTANCE_ROWS, max(affordable, FEWEST_IMPORTANCE_ROWS))
    rows = test.sample(min(most, len(test)), random_state=seed)
    if contract.problem == "regression":
        return rows
    target = contract.target.column
    counts = rows[target].value_counts()
    rare = [label for label in test[target].unique() if counts.get(label, 0) < LEAST_OF_A_CLASS]
    more = test[test[target].isin(rare) & ~test.index.isin(rows.index)]
    added = more.groupby(target, observed=True, sort=True).head(LEAST_OF_A_CLASS)
    return pd.concat([rows, added]) if len(added) else rows


def plot_evaluation(
    evaluation: Evaluation, contract: Contract, truth: np.ndarray, file: Path
) -> None:
    """Three panels as one PNG: ranking or fit, calibration or residuals, importances."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.6), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    left, middle, right = figure.subplots(1, 3)
    if not contract.has_target:
        _plot_sizes(left, evaluation, contract)
        _plot_memberships(middle, evaluation)
    elif contract.is_binary:
        _plot_roc(left, evaluation, contract, truth)
        _plot_calibration(middle, evaluation, contract, truth)
    elif contract.problem == "classification":
        _plot_confusion(left, evaluation, contract, truth)
        _plot_class_counts(middle, evaluation, contract, truth)
    else:
        _plot_fit(left, evaluation, truth)
        _plot_residuals(middle, evaluation, truth)
    _plot_importances(right, evaluation)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="png")


def _said(evaluation: Evaluation, metric: str, name: str) -> str:
    """The metric that a panel draws with its interval, whatever the main metric is."""
    main = evaluation.score
    score = main if main.metric == metric else evaluation.others[metric]
    low, high = score.interval
    return f"{name} {score.value:.3f} [{low:.3f}, {high:.3f}]"


def _plot_roc(axes: "Axes", evaluation: Evaluation, contract: Contract, truth: np.ndarray) -> None:
    from sklearn.metrics import roc_curve

    false_positive, true_positive, _ = roc_curve(
        truth == contract.target.positive, evaluation.predictions.scores
    )
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey", label="guessing")
    axes.plot(false_positive, true_positive, label=_said(evaluation, "roc_auc", "AUC"))
    axes.set(
        title="ROC curve, test rows", xlabel="False positive rate", ylabel="True positive rate"
    )
    axes.legend(loc="lower right")


def _plot_calibration(
    axes: "Axes", evaluation: Evaluation, contract: Contract, truth: np.ndarray
) -> None:
    from sklearn.calibration import calibration_curve

    positive = truth == contract.target.positive
    observed, predicted = calibration_curve(
        positive, evaluation.predictions.scores, n_bins=10, strategy="quantile"
    )
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey", label="perfect")
    axes.plot(
        predicted, observed, marker="o", label=f"Brier {evaluation.others['brier'].value:.3f}"
    )
    axes.set(
        title="Calibration, ten groups of equal size",
        xlabel="Predicted probability",
        ylabel="Observed share",
    )
    axes.legend(loc="upper left")


def _plot_confusion(
    axes: "Axes", evaluation: Evaluation, contract: Contract, truth: np.ndarray
) -> None:
    from sklearn.metrics import ConfusionMatrixDisplay

    ConfusionMatrixDisplay.from_predictions(
        truth.astype(str),
        evaluation.predictions.values,
        labels=list(contract.target.classes),
        normalize="true",
        values_format=".2f",
        ax=axes,
        colorbar=False,
        xticks_rotation=45,
    )
    axes.set(title="Confusion matrix, share of the true class")


def _plot_class_counts(
    axes: "Axes", evaluation: Evaluation, contract: Contract, truth: np.ndarray
) -> None:
    labels = list(contract.target.classes)
    position = np.arange(len(labels))
    predicted = np.asarray(evaluation.predictions.values)
    axes.bar(position - 0.2, [int((truth == label).sum()) for label in labels], 0.4, label="true")
    axes.bar(
        position + 0.2,
        [int((predicted == label).sum()) for label in labels],
        0.4,
        label="predicted",
    )
    axes.set_xticks(position, labels, rotation=45)
    axes.set(title="Rows of each class", ylabel="Test rows")
    axes.legend()


def _plot_sizes(axes: "Axes", evaluation: Evaluation, contract: Contract) -> None:
    labels = list(contract.target.classes)
    told = np.asarray(evaluation.predictions.values)
    axes.barh(labels[::-1], [int((told == label).sum()) for label in labels][::-1])
    axes.set(title="Rows of each segment", xlabel="Test rows")


def _plot_memberships(axes: "Axes", evaluation: Evaluation) -> None:
    told = evaluation.predictions
    largest = np.max(np.asarray(told.probabilities), axis=1)
    axes.hist(largest, bins=40, range=(0, 1))
    axes.set(
        title=_said(evaluation, "silhouette", "Membership; silhouette"),
        xlabel="Membership in the row's segment",
        ylabel="Test rows",
    )


def _plot_fit(axes: "Axes", evaluation: Evaluation, truth: np.ndarray) -> None:
    low, high = float(truth.min()), float(truth.max())
    axes.plot([low, high], [low, high], linestyle="--", color="grey", label="perfect")
    axes.scatter(
        truth,
        evaluation.predictions.scores,
        s=4,
        alpha=0.3,
        label=_said(evaluation, "r2", "R²"),
    )
    axes.set(
        title="Predicted against true, test rows", xlabel="True value", ylabel="Predicted value"
    )
    axes.legend(loc="upper left")


def _plot_residuals(axes: "Axes", evaluation: Evaluation, truth: np.ndarray) -> None:
    residuals: Any = np.asarray(evaluation.predictions.scores) - truth
    axes.hist(residuals, bins=50)
    axes.axvline(0, linestyle="--", color="grey")
    axes.set(
        title=f"Residuals, MAE {evaluation.others['mae'].value:.3g}",
        xlabel="Predicted minus true",
        ylabel="Test rows",
    )


def _plot_importances(axes: "Axes", evaluation: Evaluation) -> None:
    shown = list(evaluation.importances.items())[:SHOWN_FEATURES][::-1]
    axes.barh([name for name, _ in shown], [loss for _, loss in shown])
    axes.set(title="Importance by shuffling", xlabel=f"Loss of {evaluation.score.metric}")
