"""Checks of the rows that a model is judged on: their quality, and their drift.

Test rows and training rows are two samples of one table, so their drift is judged by tests of rows
(Kolmogorov-Smirnov or chi-square with false discovery control, and a floor for the amount), with
the population stability index beside it. `make drift-check` judges windows of production instead.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from goldpath.contract import Contract, Feature
from goldpath.drift.decision import DriftDecision, decide
from goldpath.drift.profile import compare_frames
from goldpath.drift.texts import known_words, measured
from goldpath.judging.evidence import Evidence
from goldpath.judging.validation_report import ValidationResult, ValidationStatus
from goldpath.learning.copies import share_of_copies
from goldpath.learning.frames import model_frame

DRIFT_CHECK = "data drift"
PSI_BINS = 10
ROWS_A_BIN = 20
"""Fewer bins where a bin would hold fewer rows than this: the index of empty bins is noise."""

FALSE_ALARMS = 0.01

KNOWN_LIMIT = 0.05
"""The share of test rows that may be copies of training rows without a warning."""


def check_data_quality(evidence: Evidence) -> ValidationResult:
    """Values that the contract does not allow, missing values, and rows that repeat."""
    limits, contract = evidence.validation, evidence.contract
    frame = model_frame(evidence.rows, contract)
    details: dict[str, dict[str, float | str]] = {}
    failed, noted = [], []
    for feature in contract.features:
        column = frame[feature.name]
        missing, strange = float(column.isna().mean()), out_of_domain(column, feature)
        details[feature.name] = {"missing": missing, "out of domain": strange}
        if strange > limits.out_of_domain_limit:
            failed.append(f"{feature.name}: {strange:.1%} outside the contract")
        if missing > limits.missing_limit:
            noted.append(f"{feature.name}: {missing:.1%} missing")
    repeated = float(frame.assign(_target=evidence.truth).duplicated().mean())
    if repeated > limits.duplicate_limit:
        noted.append(f"{repeated:.1%} of the rows repeat another one")
    known = _known_rows(evidence)
    if known > KNOWN_LIMIT:
        noted.append(
            f"{known:.1%} of the test rows are copies of training rows: the model knows them, and "
            "its score is too good"
        )
    status = (
        ValidationStatus.FAILED
        if failed
        else ValidationStatus.WARNING
        if noted
        else ValidationStatus.PASSED
    )
    return ValidationResult(
        "data quality",
        status,
        "; ".join(failed + noted)
        or f"{len(frame)} rows keep to the contract; {repeated:.1%} repeat another one",
        score=max(float(row["out of domain"]) for row in details.values()),
        threshold=limits.out_of_domain_limit,
        details=details,
    )


def _known_rows(evidence: Evidence) -> float:
    """The share of the judged rows that the model has learned from under another number."""
    if evidence.train is None:
        return 0.0
    labels = dict.fromkeys(evidence.contract.label_columns, evidence.truth)
    rows = evidence.rows.assign(**labels)
    return share_of_copies(evidence.train, rows, evidence.contract)


def out_of_domain(column: pd.Series, feature: Feature) -> float:
    """The share of rows whose value the contract does not allow."""
    present = column.dropna()
    strange = 0 if feature.nullable else int(column.isna().sum())
    if feature.minimum is not None:
        strange += int((present < feature.minimum).sum())
    if feature.maximum is not None:
        strange += int((present > feature.maximum).sum())
    if feature.categories is not None:
        strange += int((~present.astype(str).isin(feature.categories)).sum())
    return strange / max(len(column), 1)


def check_drift(evidence: Evidence) -> ValidationResult | None:
    """Whether the judged rows come from where the reference rows do."""
    limits = evidence.validation
    before = evidence.reference if evidence.reference is not None else evidence.train
    if before is None or limits.on_drift == "ignore":
        return None
    names = [name for name in evidence.contract.feature_names if name in before.columns]
    reference = model_frame(before, evidence.contract)[names] if names else before
    current = model_frame(evidence.rows, evidence.contract)[names]
    most = evidence.monitoring.reference_rows
    reference, current = (_drawn(frame, most) for frame in (reference, current))
    reference, current = _by_length_and_words(reference, current, evidence.contract)
    decision = decide(
        compare_frames(reference, current), evidence.monitoring, len(current), len(reference)
    )
    if decision.verdict == "insufficient":
        return ValidationResult(DRIFT_CHECK, ValidationStatus.NOT_ENOUGH_DATA, decision.message)
    names = list(reference.columns)
    indexes = {name: stability_index(reference[name], current[name], len(names)) for name in names}
    moved = [
        name for name, (index, noise) in indexes.items() if index > max(limits.psi_limit, noise)
    ]
    drifted = list(dict.fromkeys([*(column.name for column in decision.drifted), *moved]))
    bad = ValidationStatus.FAILED if limits.on_drift == "refuse" else ValidationStatus.WARNING
    return ValidationResult(
        DRIFT_CHECK,
        bad if drifted else ValidationStatus.PASSED,
        f"{len(drifted) or 'none'} of {len(names)} columns drifted"
        + (f": {', '.join(drifted[:5])}" if drifted else ""),
        score=max((index for index, _ in indexes.values()), default=0.0),
        threshold=limits.psi_limit,
        details=_drift_details(decision, indexes),
    )


def _by_length_and_words(
    reference: pd.DataFrame, current: pd.DataFrame, contract: Contract
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both with their free texts as numbers."""
    texts = [name for name in contract.text_features if name in reference]
    if not texts:
        return reference, current
    before, now = (
        pa.Table.from_pandas(frame[texts], preserve_index=False) for frame in (reference, current)
    )
    known = known_words(before, texts)
    numbers = measured(before, known, in_training=True), measured(now, known)
    both = [
        pd.concat([frame.drop(columns=texts), found.to_pandas().set_index(frame.index)], axis=1)
        for frame, found in zip((reference, current), numbers, strict=True)
    ]
    return both[0], both[1]


def _drift_details(
    decision: DriftDecision, indexes: dict[str, tuple[float, float]]
) -> dict[str, dict[str, float | str]]:
    return {
        column.name: {
            "PSI": indexes[column.name][0],
            "shift": column.effect,
            "p": column.p_value,
            "p, all tests": column.q_value,
            "what changed": column.reason,
        }
        for column in decision.columns
    }


def stability_index(
    reference: pd.Series, current: pd.Series, columns: int = 1
) -> tuple[float, float]:
    """Population stability index, and what chance alone reaches with all columns in 1 of 100.

    Numbers are divided at the reference's quantiles, missing values are a group of their own, and
    half a row is added to each group, so that an empty one does not make the index infinite.
    Without any drift the index is about chi-square times (1/n + 1/m) (Yurdakul & Naranjo 2020).

    Args:
        reference: A column of numbers or of categories.
        current: The same column of the rows to judge.
        columns: How many columns are looked at together.
    """
    from scipy.stats import chi2

    sizes = len(reference), len(current)
    groups = max(2, min(PSI_BINS, min(sizes) // ROWS_A_BIN))
    before, after = _counts(reference, current, groups)
    if len(before) < 2:
        return 0.0, 0.0
    expected, actual = ((c + 0.5) / (c.sum() + 0.5 * len(c)) for c in (before, after))
    index = float(np.sum((actual - expected) * np.log(actual / expected)))
    quantile = float(chi2.ppf(1 - FALSE_ALARMS / columns, len(before) - 1))
    return index, quantile * (1 / sizes[0] + 1 / sizes[1])


def _counts(reference: pd.Series, current: pd.Series, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each group on both sides, missing values last; groups empty on both are left out."""
    if pd.api.types.is_numeric_dtype(reference):
        edges = np.unique(np.nanquantile(reference, np.arange(1, groups) / groups))
        counts = [
            np.bincount(np.searchsorted(edges, side.dropna(), "right"), minlength=len(edges) + 1)
            for side in (reference, current)
        ]
    else:
        common = reference.dropna().astype(str).value_counts().index[: groups - 1]
        counts = []
        for side in (reference, current):
            text = side.dropna().astype(str)
            known = [int((text == name).sum()) for name in common]
            counts.append(np.array([*known, len(text) - sum(known)]))
    table = np.stack(
        [
            np.append(count, side.isna().sum())
            for count, side in zip(counts, (reference, current), strict=True)
        ]
    )
    table = table[:, table.sum(axis=0) > 0]
    return table[0], table[1]


def _drawn(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    return frame if len(frame) <= rows else frame.sample(rows, random_state=0)
