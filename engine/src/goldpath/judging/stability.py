"""Whether a model's quality depends on which rows it happens to learn from."""

import numpy as np
import pandas as pd

from goldpath.judging.champion import FEWEST_OF_A_CLASS, delong_areas
from goldpath.judging.evidence import Evidence
from goldpath.judging.validation_report import ValidationResult, ValidationStatus
from goldpath.learning.folds import divide_rows
from goldpath.learning.frames import model_frame, target_values
from goldpath.learning.metrics import bootstrap_score, main_metric
from goldpath.learning.scoring import LoadedModel, Predictions
from goldpath.learning.splitting import row_groups

STABILITY_CHECK = "stability"
ROWS_A_FOLD = 50
FALSE_ALARMS = 0.01
BOOTSTRAP_SAMPLES = 100


def check_stability(evidence: Evidence) -> ValidationResult | None:
    """Cross-validate the same pipeline; its score may not spread widely over the folds.

    Folds differ by chance, the more so the smaller they are. The model fails where the spread
    is above the limit and more than chance explains (Cochran's Q, p < 1 %).
    """
    from sklearn.base import clone

    limits, contract = evidence.validation, evidence.contract
    if limits.stability_folds < 2 or evidence.train is None:
        return None
    if hasattr(evidence.model.pipeline, "members"):
        return ValidationResult(
            STABILITY_CHECK,
            ValidationStatus.NOT_ENOUGH_DATA,
            "an ensemble of AutoML is not fitted again; its report has the scores of each fold",
        )
    seed = evidence.training.seed
    rows = evidence.train
    if len(rows) > limits.stability_rows:
        rows = rows.sample(limits.stability_rows, random_state=seed)
    needed = ROWS_A_FOLD * limits.stability_folds
    frame, truth = model_frame(rows, contract), target_values(rows, contract)
    rarest = pd.Series(truth).value_counts().min() if contract.problem != "regression" else needed
    if len(rows) < needed or rarest < FEWEST_OF_A_CLASS * limits.stability_folds:
        return ValidationResult(
            STABILITY_CHECK,
            ValidationStatus.NOT_ENOUGH_DATA,
            f"{len(rows)} training rows, {rarest} of the rarest class; {needed} and "
            f"{FEWEST_OF_A_CLASS * limits.stability_folds} needed",
        )
    # Rows that the split keeps together stay together here, too.
    groups = row_groups(rows, contract, evidence.training)
    if groups is not None and len(np.unique(groups)) < limits.stability_folds:
        return ValidationResult(
            STABILITY_CHECK,
            ValidationStatus.NOT_ENOUGH_DATA,
            f"the rows are of {len(np.unique(groups))} {contract.entity_column}s; "
            f"{limits.stability_folds} needed",
        )
    is_plain = contract.problem == "regression"
    classes = truth if is_plain else truth.astype(str)
    folds = divide_rows(classes, groups, limits.stability_folds, seed, stratified=not is_plain)
    scores, variances = [], []
    for learned, judged in folds:
        pipeline = clone(evidence.model.pipeline).fit(frame.iloc[learned], truth[learned])
        fold = LoadedModel(pipeline, contract).predict(frame.iloc[judged])
        score, variance = _score(evidence, truth[judged], fold, rows.iloc[judged])
        scores.append(score)
        variances.append(variance)
    return _judge(evidence, np.array(scores), np.array(variances))


def _score(
    evidence: Evidence, truth: np.ndarray, fold: Predictions, rows: pd.DataFrame
) -> tuple[float, float]:
    """A fold's score and its sampling variance."""
    contract, own = evidence.contract, evidence.definitions.metric
    if contract.is_binary and own is None:
        areas, variance = delong_areas(
            truth == contract.target.positive, np.asarray(fold.scores)[None, :]
        )
        return float(areas[0]), float(variance[0, 0])
    score = bootstrap_score(
        contract, truth, fold, BOOTSTRAP_SAMPLES, evidence.training.seed, own, rows
    )
    low, high = score.interval
    return score.value, float(((high - low) / (2 * 1.96)) ** 2)


def _judge(evidence: Evidence, scores: np.ndarray, variances: np.ndarray) -> ValidationResult:
    from scipy.stats import chi2

    limit, name = evidence.validation.stability_limit, _name(evidence)
    spread = float(scores.std(ddof=1))
    weights = 1 / np.maximum(variances, 1e-12)
    middle = float(np.sum(weights * scores) / weights.sum())
    heterogeneity = float(np.sum(weights * (scores - middle) ** 2))
    certain = float(chi2.sf(heterogeneity, len(scores) - 1)) < FALSE_ALARMS
    folds = ", ".join(f"{score:.4f}" for score in scores)
    above = not spread <= limit
    status = (
        ValidationStatus.FAILED
        if above and certain
        else ValidationStatus.WARNING
        if above
        else ValidationStatus.PASSED
    )
    return ValidationResult(
        STABILITY_CHECK,
        status,
        f"{name} over {len(scores)} shuffled folds: {folds}; standard deviation {spread:.4f}, "
        f"at most {limit:g}" + (", which chance may explain" if above and not certain else ""),
        score=spread,
        threshold=limit,
    )


def _name(evidence: Evidence) -> str:
    return main_metric(evidence.contract, evidence.definitions.metric)
