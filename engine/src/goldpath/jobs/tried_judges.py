"""A project's metrics and checks of the gate, tried on made-up rows before anything is trained.

The rows have the columns and types of gold, values that the contract allows, every class and every
category, and a model that answers at random. What fails there for want of a column or an attribute
would fail on any rows, and is refused; what real rows may do without is said.
"""

import asyncio
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from goldpath.contract import EVENT_TIME, Contract
from goldpath.domain import STORED
from goldpath.features.row.complete import complete_rows
from goldpath.features.window.learned import values_of_nobody
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.judging.evidence import Evidence
from goldpath.judging.gates import Gate
from goldpath.judging.own_checks import own_checks, verdict_of
from goldpath.judging.validators import Validator
from goldpath.learning.frames import target_values
from goldpath.learning.metric import Metric
from goldpath.learning.scoring import LoadedModel
from goldpath.model_version import ModelVersion
from goldpath.project import Model
from goldpath.registry.stages import CHAMPION
from goldpath.registry.stores.store import RunRecord
from goldpath.row_contract import Feature
from goldpath.serving.answers.own_fields import line_of
from goldpath.settings import Settings

ROWS = 240
START = datetime(2026, 1, 1, tzinfo=UTC)
SURE = (AttributeError, ImportError, KeyError, NameError, TypeError)
"""Errors that do not come of the values in the rows."""


def require_judges(contract: Contract, settings: Settings, definitions: Model) -> tuple[str, ...]:
    """Try the project's own metrics and checks.

    Args:
        contract: As a version is trained: with computed features, a threshold or an interval.
        settings: Are part of what a check may look at.
        definitions: The project's.

    Returns:
        A sentence for each that failed in a way that it may not fail on real rows.

    Raises:
        ProjectDefinitionError: If one fails in a way that it would on any rows; names file, line
            and fix.
    """
    own = [each for each in (definitions.metric, *definitions.metrics) if type(each) is Metric]
    checks = own_checks(definitions)
    if not contract.has_target or not (own or checks):
        return ()
    evidence = made_up_evidence(contract, settings, definitions)
    columns = ", ".join(evidence.rows.columns)
    doubts: list[str] = []
    for metric in own:
        measure = partial(_measure, metric, evidence)
        fix = f"correct that line: truth and decided are labels or values, rows has {columns}"
        doubts += _tried(measure, metric.function, f"the metric {metric.name}", fix)
    for name, check in checks.items():
        function = check.function if isinstance(check, Gate) else check.validate
        fix = f"correct that line: `docs validation` lists what evidence holds, rows has {columns}"
        doubts += _tried(partial(_judge, check, evidence), function, f"the check {name!r}", fix)
    return tuple(doubts)


def _measure(metric: Metric, evidence: Evidence) -> float:
    on_rows = metric.on_rows(evidence.contract, evidence.truth, evidence.predictions, evidence.rows)
    return on_rows(slice(None))


def _judge(check: Validator, evidence: Evidence) -> object:
    return asyncio.run(verdict_of(check, evidence))


def _tried(
    act: Callable[[], object], function: Callable[..., object], said: str, fix: str
) -> Iterator[str]:
    """What is to be said of an attempt; nothing where it went well."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            act()
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        where = line_of(function, error)
        failed = f"{place_of(function)}: {said} failed{where} on made-up rows"
        if isinstance(error, SURE):
            raise ProjectDefinitionError(f"{failed}: {what}", fix) from error
        yield f"{failed} ({what}); training runs it again on real rows"


def made_up_evidence(contract: Contract, settings: Settings, definitions: Model) -> Evidence:
    """Evidence as a training gives it, of rows and a model that nobody has seen."""
    rows = made_up_rows(contract)
    model = LoadedModel(_AtRandom(contract), contract)
    texts = _AnyKey("1")
    run = RunRecord("0" * 32, "made-up", "FINISHED", False, texts, _AnyKey(0.5), texts, "")
    version = ModelVersion(contract.model_name, "1", run.run_id, (CHAMPION,), texts)
    return Evidence(
        model,
        rows,
        target_values(rows, contract),
        model.predict_frame(rows),
        settings.validation,
        settings.training,
        settings.monitoring,
        train=rows,
        reference=rows,
        champion=replace(model, version=version),
        size_bytes=1_000_000,
        definitions=definitions,
        run=run,
    )


def made_up_rows(contract: Contract) -> pd.DataFrame:
    """Rows with the columns of gold: each category and class, numbers up to both of their ends.

    Where a value may be missing, every tenth is.
    """
    dice = np.random.default_rng(0)
    columns: dict[str, pa.Array] = {}
    if contract.has_time:
        times = [START + timedelta(hours=place) for place in range(ROWS)]
        columns[EVENT_TIME] = pa.array(times, pa.timestamp("us", "UTC"))
    columns[contract.entity_column] = pa.array([f"made-up-{place}" for place in range(ROWS)])
    nobody = values_of_nobody(contract)
    for feature in contract.features:
        if feature.expression:
            continue
        values = _values(feature, dice)
        if feature.window and nobody.get(feature.name) is None:
            values[::3] = [None] * len(values[::3])
        elif feature.nullable:
            values[::10] = [None] * len(values[::10])
        kind = pa.type_for_alias(STORED[feature.type].replace("boolean", "bool"))
        columns[feature.name] = pa.array(values, kind)
    target: list[Any] = [*np.linspace(0.0, 100.0, ROWS)]
    if contract.problem == "classification":
        target = [
            contract.target.classes[place % len(contract.target.classes)] for place in range(ROWS)
        ]
    drawn = dice.permutation(ROWS)
    columns[contract.target.column] = pa.array([target[place] for place in drawn])
    complete = complete_rows(pa.table(columns), contract)
    wanted = [*columns, *contract.feature_names]
    found: pd.DataFrame = complete.select([*dict.fromkeys(wanted)]).to_pandas()
    return found


def _values(feature: Feature, dice: np.random.Generator) -> list[Any]:
    if feature.type == "boolean":
        return [bool(each) for each in dice.integers(0, 2, ROWS)]
    if not feature.is_numeric:
        known = feature.categories or ("example", "another")
        return [known[place % len(known)] for place in dice.permutation(ROWS)]
    low, high = feature.minimum, feature.maximum
    first = low if low is not None else min(0.0, (high or 0.0) - 100)
    last = high if high is not None else first + 100
    drawn = dice.permutation(np.linspace(first, last, ROWS))
    return [round(each) for each in drawn] if feature.type == "integer" else [*drawn.tolist()]


class _AnyKey(dict[str, Any]):
    """What a run logged: nobody knows what a check asks for, so it has everything.

    Args:
        value: Of each key.
    """

    def __init__(self, value: object) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, key: str) -> Any:
        return self._value

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002
        """The value, whatever is asked for."""
        return self._value


class _AtRandom:
    """Answers as a fitted pipeline does, and knows nothing.

    Args:
        contract: Says what it may answer.
    """

    def __init__(self, contract: Contract) -> None:
        self.classes_ = np.asarray(contract.target.classes)

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Values, shape (rows,)."""
        return np.random.default_rng(1).uniform(0.0, 100.0, len(frame))

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities, shape (rows, classes)."""
        return np.random.default_rng(1).dirichlet(np.ones(len(self.classes_)), len(frame))
