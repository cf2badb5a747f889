"""The proof that a compiled form answers what the pipeline does, on rows made to tell them apart.

A thousand usual rows prove little: a float32 graph passed them and flipped labels in a million. So
the rows are drawn from the contract *and* the model: the trees' own thresholds and their nearest
neighbours in float64, missing values, categories never seen, edges and extremes.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.compiled.form import CATEGORY, NUMBER, Blend, CompiledForm, Trees
from goldpath.contract import Contract, Feature
from goldpath.learning.decision.threshold import rule_of

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-6
CHUNK = 50_000
USUAL_COLUMNS = 60
"""Tables of more columns are proved on fewer rows, and drawn in smaller parts: as many values."""
EXTREME = 1e30
"""Numbers without a limit in the contract go up to here; above, scikit-learn's scaler overflows."""
UNSEEN = "\N{WHITE SQUARE} never seen"

Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Parity:
    """How close a compiled form is to its pipeline.

    Attributes:
        rows: Rows that were compared.
        largest_difference: Of a probability; in regression relative to the larger of 1 and the
            value.
        flipped_labels: Rows whose most probable class differs.
        passed: No more than 1e-6, and no label.
        seconds: What the proof took.
    """

    rows: int
    largest_difference: float
    flipped_labels: int
    passed: bool
    seconds: float


def prove_parity(
    pipeline: Any, form: CompiledForm, contract: Contract, scores: Scores, rows: int, seed: int
) -> Parity:
    """Compare on rows drawn by `draw_rows`.

    Args:
        pipeline: The fitted pipeline.
        form: Its compiled form.
        contract: Says what a row may hold.
        scores: From numbers and codes to answers: the compiled form as it will serve.
        rows: How many to draw; of a table of more than 60 columns fewer, so that no more values
            are drawn than a table of 60 would have.
        seed: Of the draws.
    """
    started = time.monotonic()
    generator = np.random.default_rng(seed)
    largest, flipped, rule = 0.0, 0, rule_of(contract)
    wider = max(len(form.numbers) + len(form.categories), USUAL_COLUMNS) / USUAL_COLUMNS
    rows, chunk = math.ceil(rows / wider), math.ceil(CHUNK / wider)
    for start in range(0, rows, chunk):
        numbers, codes = draw_rows(form, contract, min(chunk, rows - start), generator)
        frame = frame_of(form, contract, numbers, codes)
        expected, lines = _pipeline_answers(pipeline, form, frame), rule.lines_of(frame)
        found = scores(numbers, codes)
        if form.classes:
            difference = np.abs(found - expected)
            flipped += int((rule.labels(found, lines) != rule.labels(expected, lines)).sum())
        else:
            difference = np.abs(found - expected) / np.maximum(np.abs(expected), 1.0)
            # Where both overflow there is no answer, and the service says so.
            difference[~np.isfinite(found) & ~np.isfinite(expected)] = 0
        largest = max(largest, float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0)))
    passed = largest <= TOLERANCE and flipped == 0
    return Parity(rows, largest, flipped, passed, round(time.monotonic() - started, 2))


def draw_rows(
    form: CompiledForm, contract: Contract, rows: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that the contract allows, with more of what is rare than nature has.

    Returns:
        Numbers of shape (rows, numbers) and codes of shape (rows, categories), as a form takes
        them.
    """
    numbers = np.empty((rows, len(form.numbers)))
    for column, name in enumerate(form.numbers):
        thresholds = _thresholds(form, column)
        numbers[:, column] = _draw_numbers(contract.by_name[name], thresholds, rows, generator)
    codes = np.empty((rows, len(form.categories)), dtype=np.int32)
    for column, known in enumerate(form.categories.values()):
        codes[:, column] = generator.integers(0, len(known) + 2, rows)
    # A few rows know nothing at all, and a few hold nothing that was seen before.
    empty = generator.random(rows) < 0.001
    numbers[empty] = np.nan
    codes[empty] = [len(known) + 1 for known in form.categories.values()]
    strange = generator.random(rows) < 0.001
    codes[strange] = [len(known) for known in form.categories.values()]
    return numbers, codes


def _draw_numbers(
    feature: Feature, thresholds: np.ndarray, rows: int, generator: np.random.Generator
) -> np.ndarray:
    if feature.type == "boolean":
        return generator.choice([0.0, 1.0, np.nan], rows, p=[0.45, 0.45, 0.1])
    low = -EXTREME if feature.minimum is None else feature.minimum
    high = EXTREME if feature.maximum is None else feature.maximum
    usual_low, usual_high = _usual_range(feature, thresholds)
    values = generator.uniform(usual_low, usual_high, rows)
    kind = generator.random(rows)
    if len(thresholds):
        near = generator.choice(thresholds, rows)
        step = generator.choice([-np.inf, 0.0, np.inf], rows)
        values = np.where(kind < 0.3, np.where(step == 0, near, np.nextafter(near, step)), values)
    edges = np.array([low, high, 0.0, -0.0, 1.0, -1.0, 5e-324, 1e-300, 0.1, 1e15, -1e15])
    values = np.where((kind >= 0.3) & (kind < 0.4), generator.choice(edges, rows), values)
    wide = np.sign(generator.normal(size=rows)) * 10.0 ** generator.uniform(-12, 12, rows)
    values = np.where((kind >= 0.4) & (kind < 0.45), wide, values)
    values = np.clip(values, low, high)
    if feature.type == "integer":
        values = np.clip(np.round(values), np.ceil(low), np.floor(high))
    return np.where(kind >= 0.9, np.nan, values)


def _usual_range(feature: Feature, thresholds: np.ndarray) -> tuple[float, float]:
    """Where most rows lie: around the model's thresholds, within the contract's limits."""
    finite = thresholds[np.isfinite(thresholds)]
    low, high = (finite.min(), finite.max()) if len(finite) else (-1000.0, 1000.0)
    margin = max(high - low, 1.0) / 4
    low, high = low - margin, high + margin
    low = low if feature.minimum is None else max(low, feature.minimum)
    high = high if feature.maximum is None else min(high, feature.maximum)
    return (low, high) if low <= high else (high, high)


def _thresholds(form: CompiledForm, number: int) -> np.ndarray:
    """Where the trees split this number, in the unit of the rows."""
    if isinstance(form.model, Blend):
        return np.concatenate([np.empty(0), *(_thresholds(p, number) for p in form.model.forms)])
    if not isinstance(form.model, Trees):
        return np.empty(0)
    encoder, nodes = form.encoder, form.model.nodes
    found = [np.empty(0)]
    inner = (nodes["left"] != np.arange(len(nodes))) & ((nodes["flags"] & CATEGORY) == 0)
    for column in np.flatnonzero((encoder.kind == NUMBER) & (encoder.source == number)):
        splits = np.unique(nodes["threshold"][inner & (nodes["column"] == column)])
        found.append(splits * encoder.scale[column] + encoder.centre[column])
    return np.concatenate(found)


def frame_of(
    form: CompiledForm, contract: Contract, numbers: np.ndarray, codes: np.ndarray
) -> "pd.DataFrame":
    """The same rows as the pipeline takes them; see `model_frame`."""
    import pandas as pd

    columns: dict[str, Any] = {name: numbers[:, column] for column, name in enumerate(form.numbers)}
    for column, (name, known) in enumerate(form.categories.items()):
        values = np.array([*known, UNSEEN, np.nan], dtype=object)
        columns[name] = pd.Series(values[codes[:, column]], dtype=object)
    return pd.DataFrame(columns, columns=contract.feature_names)


def _pipeline_answers(pipeline: Any, form: CompiledForm, frame: "pd.DataFrame") -> np.ndarray:
    with np.errstate(all="ignore"):
        if form.classes:
            return np.asarray(pipeline.predict_proba(frame), dtype=np.float64)
        return np.asarray(pipeline.predict(frame), dtype=np.float64)[:, None]
