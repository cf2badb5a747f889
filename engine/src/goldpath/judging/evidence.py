"""What a check may look at: the model, rows that it has not seen, and today's champion."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.judging.baseline import baseline_model
from goldpath.learning.decision.choice import deciding_as
from goldpath.learning.scoring import LoadedModel, Predictions
from goldpath.learning.segments.figures import figures_of
from goldpath.learning.segments.quality import Figures
from goldpath.project import ENGINES_OWN, Model
from goldpath.settings import MonitoringSettings, TrainingSettings, ValidationSettings

if TYPE_CHECKING:
    from goldpath.registry.stores.store import RunRecord


@dataclass(frozen=True)
class StoredForm:
    """A registered version, as the service uses it.

    Attributes:
        form: What answers there, in words.
        size_bytes: Of all its files.
        answer: Scores one row, given by feature name.
    """

    form: str
    size_bytes: int
    answer: Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True)
class Evidence:
    """Everything that a check may look at.

    Attributes:
        model: The model.
        rows: The rows that it is judged on, which it has not seen: at least the features.
        truth: Their target, shape (rows,); None for each row of a clustering.
        predictions: What the model says about them.
        validation: The limits.
        training: Seed, bootstrap samples, the tolerance towards the champion.
        monitoring: The limits of drift.
        train: The rows that it learned from, with their target, where they are known.
        reference: Rows that the judged rows are compared with; the training rows where not given.
        champion: Today's champion, where there is one that could be loaded.
        size_bytes: The stored model's size, where it is known.
        definitions: The project's own metrics.
        run: What the training's MLflow run logged: `run.metrics`, `run.parameters`, `run.tags`;
            None where the model is of no run.
        stored: The registered version as it serves; None before it is registered.
        champion_error: Why today's champion could not be loaded; then nothing is promoted.

    Example:
        >>> import numpy as np
        >>> from goldpath import Evidence, gate
        >>> @gate(at_most=0.25)
        ... def share_of_calls(evidence: Evidence) -> float:
        ...     return float(np.mean(np.asarray(evidence.predictions.values) == "yes"))
        >>> share_of_calls.name
        'share of calls'
    """

    model: LoadedModel
    rows: pd.DataFrame
    truth: np.ndarray
    predictions: Predictions
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    monitoring: MonitoringSettings = field(default_factory=MonitoringSettings)
    train: pd.DataFrame | None = None
    reference: pd.DataFrame | None = None
    champion: LoadedModel | None = None
    size_bytes: int | None = None
    definitions: Model = ENGINES_OWN
    run: "RunRecord | None" = None
    stored: "StoredForm | None" = None
    champion_error: Exception | None = None

    @property
    def contract(self) -> Contract:
        """The contract that the model was trained with."""
        return self.model.contract

    @cached_property
    def baseline_predictions(self) -> Predictions | None:
        """What the baseline says of the rows; None of a clustering and without training rows."""
        if self.train is None or not self.contract.has_target:
            return None
        return baseline_model(self.train, self.contract).predict(self.rows)

    @cached_property
    def segment_figures(self) -> Figures | None:
        """Of a segmentation its figures without labels; None of others, and without these rows."""
        if self.contract.has_target or self.train is None:
            return None
        return figures_of(self.model, self.train, self.rows, self.training.seed)

    @cached_property
    def champion_predictions(self) -> Predictions | None:
        """What today's champion says about the same rows; None where there is none."""
        return None if self.champion is None else self.champion.predict(self.rows)

    @cached_property
    def champion_contract(self) -> Contract | None:
        """The contract with the champion's own threshold, band and interval."""
        return None if self.champion is None else deciding_as(self.contract, self.champion.contract)
