"""What each feature adds to one prediction: Shapley values over the contract's features.

They are estimated by walking from background rows to the explained row, one feature after another,
in random orders, each order also backwards (antithetic), which cancels most of the noise:
Štrumbelj and Kononenko, "Explaining prediction models and individual predictions with feature
contributions" (2014); Mitchell, Cooper, Frank and Holmes, "Sampling permutations for Shapley value
estimation" (2022). Each background row is walked equally often, so the contributions add up to the
explained value less the background's mean, whatever the number of walks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract
from goldpath.features.row.complete import complete_rows
from goldpath.learning.decision.threshold import rule_of

if TYPE_CHECKING:
    from goldpath.compiled.encoded import EncodedModel
    from goldpath.learning.scoring import LoadedModel

SCORED_ROWS = 12_000
"""Mixed rows that one explanation scores with a compiled model; a pipeline is slower."""

SCORED_ROWS_OF_A_PIPELINE = 4_000
LEAST_BACKGROUND = 10
CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Contribution:
    """What one feature adds.

    Attributes:
        feature: Its name.
        value: Its value in the explained row.
        contribution: In units of what is explained.
        standard_error: Of the contribution, from the walks.
    """

    feature: str
    value: Any
    contribution: float
    standard_error: float


@dataclass(frozen=True)
class Explanation:
    """One prediction, taken apart.

    Attributes:
        prediction: The label that the version decides, or the value of a regression.
        value: The label's probability, or the value.
        baseline: The mean of the same over the background.
        contributions: Largest first; they add up to `value - baseline`.
    """

    prediction: str | float
    value: float
    baseline: float
    contributions: tuple[Contribution, ...]


class _Mixer(Protocol):
    """Scores rows that are made of the explained row and background rows."""

    def score(self, row: Mapping[str, Any], which: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """Answers, shape (mixtures, outputs).

        Args:
            row: The explained row.
            which: Each mixture's background row, shape (mixtures,).
            taken: Which features come from `row`, shape (mixtures, features).
        """
        ...


class Explainer:
    """Explains predictions of one model.

    Args:
        model: Compiled, or a pipeline.
        background: Training rows; see `background.py`.
        seed: The same row gets the same explanation each time.
        scored_rows: Bounds the work of one explanation.
    """

    def __init__(
        self,
        model: "CompiledModel | EncodedModel | LoadedModel",
        background: Sequence[Mapping[str, Any]],
        seed: int = 0,
        scored_rows: int | None = None,
    ) -> None:
        contract: Contract = model.contract
        self._contract = contract
        self._names = contract.feature_names
        self._classes, self._rule = contract.target.classes, rule_of(contract)
        is_compiled = isinstance(model, CompiledModel)
        most = scored_rows or (SCORED_ROWS if is_compiled else SCORED_ROWS_OF_A_PIPELINE)
        of_a_walk = max(1, 2 * (len(self._names) - 1))
        kept = background[: max(LEAST_BACKGROUND, most // of_a_walk)]
        self._mixer: _Mixer = (
            _CompiledMixer(model, kept)
            if isinstance(model, CompiledModel)
            else _PipelineMixer(model, kept)
        )
        self._rows = len(kept)
        self._walks = max(1, most // (of_a_walk * self._rows))
        self._seed = seed
        everything = np.arange(self._rows)
        none_taken = np.zeros((self._rows, len(self._names)), dtype=bool)
        self._background = self._mixer.score(kept[0], everything, none_taken)

    def explain(self, row: Mapping[str, Any]) -> Explanation:
        """Take the prediction of one row apart.

        Args:
            row: The features of a request, as the contract allows them; the row features are
                computed, and are explained beside them.
        """
        row = complete_rows([row], self._contract)[0]
        first = np.zeros(1, dtype=int)
        answer = self._mixer.score(row, first, np.ones((1, len(self._names)), dtype=bool))[0]
        output = int(self._rule.labels(answer[None], self._rule.lines_of([row]))[0])
        value, start = float(answer[output]), self._background[:, output]
        added = self._walked(row, output, value, start)
        means = added.mean(axis=0)
        errors = (
            added.std(axis=0, ddof=1) / np.sqrt(len(added)) if len(added) > 1 else means * np.nan
        )
        found = [
            Contribution(name, row[name], float(mean), float(error))
            for name, mean, error in zip(self._names, means, errors, strict=True)
        ]
        found.sort(key=lambda each: abs(each.contribution), reverse=True)
        prediction = self._classes[output] if self._classes else value
        return Explanation(prediction, value, float(start.mean()), tuple(found))

    def _walked(
        self, row: Mapping[str, Any], output: int, value: float, start: np.ndarray
    ) -> np.ndarray:
        """What each feature added on each walk there and back: shape (walks, features)."""
        count = len(self._names)
        walks = self._rows * self._walks
        which = np.repeat(np.arange(self._rows), self._walks)
        dice = np.random.default_rng(self._seed)
        # A feature's place in the order in which a walk takes it over.
        places = dice.permuted(np.tile(np.arange(count), (walks, 1)), axis=1)
        added = np.empty((walks, count))
        at_once = max(1, CELLS_AT_ONCE // max(1, 2 * (count - 1) * count))
        for low in range(0, walks, at_once):
            part = slice(low, min(walks, low + at_once))
            there, back = (
                self._path(row, output, value, start, which[part], order)
                for order in (places[part], count - 1 - places[part])
            )
            added[part] = (there + back) / 2
        return added

    def _path(
        self,
        row: Mapping[str, Any],
        output: int,
        value: float,
        start: np.ndarray,
        which: np.ndarray,
        places: np.ndarray,
    ) -> np.ndarray:
        walks, count = places.shape
        values = np.empty((walks, count + 1))
        values[:, 0], values[:, -1] = start[which], value
        if count > 1:
            steps = np.arange(1, count)
            taken = places[:, None, :] < steps[None, :, None]
            scored = self._mixer.score(row, np.repeat(which, count - 1), taken.reshape(-1, count))
            values[:, 1:-1] = scored[:, output].reshape(walks, count - 1)
        return np.take_along_axis(np.diff(values, axis=1), places, axis=1)


class _CompiledMixer:
    """Mixes numbers and codes as the compiled form takes them."""

    def __init__(self, model: CompiledModel, background: Sequence[Mapping[str, Any]]) -> None:
        self._model = model
        self._numbers, self._codes = model.columns(list(background))
        place = {name: at for at, name in enumerate(model.contract.feature_names)}
        self._number_places = [place[name] for name in model.form.numbers]
        self._code_places = [place[name] for name in model.form.categories]

    def score(self, row: Mapping[str, Any], which: np.ndarray, taken: np.ndarray) -> np.ndarray:
        numbers, codes = self._model.columns([row])
        return self._model.ordered_answers(
            np.where(taken[:, self._number_places], numbers, self._numbers[which]),
            np.where(taken[:, self._code_places], codes, self._codes[which]),
        )


class _PipelineMixer:
    """Mixes the columns of a model frame."""

    def __init__(
        self, model: "EncodedModel | LoadedModel", background: Sequence[Mapping[str, Any]]
    ) -> None:
        from goldpath.learning.frames import model_frame

        self._model = model
        self._frame = model_frame(background, model.contract)

    def score(self, row: Mapping[str, Any], which: np.ndarray, taken: np.ndarray) -> np.ndarray:
        import pandas as pd

        from goldpath.learning.frames import model_frame

        own = model_frame([row], self._model.contract)
        mixed = pd.DataFrame(
            {
                name: np.where(
                    taken[:, place], own[name].to_numpy(), self._frame[name].to_numpy()[which]
                )
                for place, name in enumerate(self._model.contract.feature_names)
            }
        )
        found = self._model.predict_frame(mixed)
        if found.probabilities is not None:
            return found.probabilities
        return np.array(found.values, dtype=np.float64).reshape(-1, 1)
