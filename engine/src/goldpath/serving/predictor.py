"""Holds the model that answers, and follows the champion alias without a restart.

A thread asks the registry every few seconds. A new champion is loaded and tried beside the one
that serves, and takes over in one assignment, so no request waits or fails. One that cannot be
loaded leaves the old one serving and is reported by `/ready`.
"""

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.features.window.learned import values_of_nobody
from goldpath.models.folders import with_model
from goldpath.serving.refresh_bell import RefreshBell
from goldpath.serving.schemas import example_features
from goldpath.settings import Settings

if TYPE_CHECKING:
    from goldpath.learning.predictions import Predictions
    from goldpath.model_version import ModelVersion

log = logging.getLogger(__name__)

SQLITE = "sqlite:///"
RETRY_SECONDS = 60.0
USUAL_SIZE = "send values of a usual size"
STOP_SECONDS = 2.0


class NoModelError(ProjectError):
    """No model serves yet, or the one that should cannot be loaded."""


class UnscorableError(ProjectError):
    """The model cannot score these values, although the contract allows them."""


class ServedModel(Protocol):
    """What answers: a compiled model, or a fitted pipeline."""

    @property
    def contract(self) -> Contract:
        """What it was trained with."""
        ...

    def predict(self, rows: Sequence[Mapping[str, Any]], /) -> "Predictions":
        """Score typed rows."""
        ...


class ModelSource(Protocol):
    """Where models come from: the registry."""

    def version_by_alias(self, alias: str) -> "ModelVersion | None":
        """The version that the alias points to, or None."""
        ...

    def load_for_serving(self, version: "ModelVersion") -> "ServedModel":
        """Fetch a version and make it ready."""
        ...

    def load_kept(self) -> "tuple[ModelVersion, ServedModel] | None":
        """The model that served last on this machine, without asking the registry."""
        ...


@dataclass(frozen=True)
class Champion:
    """The model that answers, and what the registry calls it.

    Attributes:
        version: The registry's entry.
        model: The model.
        kept: Whether it is the copy on this machine, since the registry was away.
    """

    version: "ModelVersion"
    model: ServedModel
    kept: bool = False


@dataclass(frozen=True)
class Status:
    """Whether a model serves, and what is missing.

    Attributes:
        missing: Sentences; empty where the champion serves.
        fix: The command that brings what is missing.
        version: What serves now.
    """

    missing: tuple[str, ...]
    fix: str | None
    version: "ModelVersion | None"


@dataclass(frozen=True)
class ScoredRow:
    """One row's prediction.

    Attributes:
        value: The label, or the value of a regression.
        probabilities: By class; None for a regression.
        score: P(positive) of a binary model, P(predicted) of several classes, or the value.
        line: The threshold that decided it, where rows have different ones.
    """

    value: str | float
    probabilities: dict[str, float] | None
    score: float
    line: float | None = None


@dataclass(frozen=True)
class _Refused:
    """A version that could not be loaded, and when to try it again."""

    version: str
    try_again_at: float


class Predictor:
    """Serves the champion.

    Args:
        settings: Says how often the alias is looked up, and where the registry is.
        contract: What requests look like; a model that was trained with other features is refused.
        source: The registry; MLflow where it is not given.
        on_loaded: Called with the version that takes over.
        on_failed: Called when a version that the alias names cannot be loaded.
        alias: What it follows; `serving.alias` where not given. Another one may point nowhere.
        wants: Whether a version is to be loaded; without an alias of its own every one is.
        prepare: Called with a model before it takes over, in the thread that loads it.
    """

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        source: ModelSource | None = None,
        on_loaded: Callable[[str], None] = lambda _: None,
        on_failed: Callable[[], None] = lambda: None,
        alias: str | None = None,
        wants: Callable[["ModelVersion"], bool] = lambda _: True,
        prepare: Callable[[Champion], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._wants = wants
        self._prepare = prepare
        self._alias = alias or settings.serving.alias
        self._is_optional = alias is not None
        self._on_failed = on_failed
        self._contract = contract
        self._source = source
        self._on_loaded = on_loaded
        self._champion: Champion | None = None
        self._trouble: NoModelError | None = NoModelError(
            "the model is being loaded", "wait a moment"
        )
        self._refused: _Refused | None = None
        self._stopping = threading.Event()
        self._has_looked = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, bell: RefreshBell, then: Callable[[], None] = lambda: None) -> None:
        """Follow the alias in the background; returns at once.

        Args:
            bell: Shortens the time between two looks.
            then: Called after each look.
        """
        self._thread = threading.Thread(
            target=self._follow, args=(bell, then), name="champion", daemon=True
        )
        self._thread.start()

    def wait_for_first_look(self, seconds: float) -> None:
        """Wait until the registry was asked once, and what it named was loaded or refused."""
        self._has_looked.wait(seconds)

    def stop(self) -> None:
        """Stop following; the model that serves stays."""
        self._stopping.set()
        if self._thread:
            self._thread.join(STOP_SECONDS)

    def status(self) -> Status:
        """Whether a model serves, and what is missing."""
        champion, trouble = self._champion, self._trouble
        return Status(
            missing=(trouble.message,) if trouble else (),
            fix=trouble.fix if trouble else None,
            version=champion.version if champion else None,
        )

    def loaded(self) -> Champion | None:
        """The model that answers now, if there is one."""
        return self._champion

    def current(self) -> Champion:
        """The model that answers now; hold it for the whole of one request.

        Raises:
            NoModelError: If there is none; says which command brings it.
        """
        champion, trouble = self._champion, self._trouble
        if champion is None:
            # A new error each time: one that is raised again collects every traceback.
            raise NoModelError(
                trouble.message if trouble else "no model serves yet",
                trouble.fix if trouble else "wait a moment",
            )
        return champion

    def refresh(self) -> None:
        """Look at the alias once; load what it points to, if that is new."""
        try:
            version = self._look_up()
            if version is None or not self._wants(version):
                self._champion = None
                return
            if not self._serves(version) and not self._was_refused(version):
                self._take_over(version)
            if self._serves(version):
                self._report(None)
                if self._champion and (self._champion.kept or self._champion.version != version):
                    self._serve(replace(self._champion, version=version, kept=False))
        except NoModelError as trouble:
            self._report(trouble)
        except ProjectError as error:
            # The message may name the registry's address; whoever asks /ready gets no password.
            message = re.sub(r"://[^/@\s]*@", "://", error.message)
            self._report(NoModelError(message + self._fall_back(), error.fix))
        except Exception as error:  # noqa: BLE001  whatever fails, the old model goes on serving
            remote = self._settings.tracking_uri.startswith("http")
            self._report(
                NoModelError(
                    f"the model registry cannot be read ({type(error).__name__}, see the log)"
                    + self._fall_back(),
                    "make mlflow-up" if remote else "make train-local",
                ),
                cause=error,
            )

    def _follow(self, bell: RefreshBell, then: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            self.refresh()
            then()
            self._has_looked.set()
            bell.wait(self._settings.serving.refresh_seconds, self._stopping)

    def _look_up(self) -> "ModelVersion | None":
        """What the alias points to; None where it may point nowhere, and does."""
        version = self._registry().version_by_alias(self._alias)
        if version is None and not self._is_optional:
            raise NoModelError(
                f"the model {self._contract.model_name} has no {self._alias}", self._promotion()
            )
        return version

    def _promotion(self) -> str:
        """What brings a version under the alias: its promotion, where there is a version."""
        newest = getattr(self._registry(), "newest_version", lambda: None)()
        return "make train-local" if newest is None else "make promote"

    def _registry(self) -> ModelSource:
        if self._source is None:
            uri = self._settings.tracking_uri
            # Asking MLflow would create the database, and importing it costs seconds.
            if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists():
                raise NoModelError("there is no model registry yet", "make train-local")
            from goldpath.registry.mlflow_manager import MLflowManager

            self._source = MLflowManager(self._settings, self._contract)
        return self._source

    def _serves(self, version: "ModelVersion") -> bool:
        return self._champion is not None and self._champion.version.version == version.version

    def _was_refused(self, version: "ModelVersion") -> bool:
        refused = self._refused
        return (
            refused is not None
            and refused.version == version.version
            and time.monotonic() < refused.try_again_at
        )

    def _take_over(self, version: "ModelVersion") -> None:
        try:
            model = self._registry().load_for_serving(version)
            self._check_fits(model)
            self._try(model)
        except Exception as error:
            self._refused = _Refused(version.version, time.monotonic() + RETRY_SECONDS)
            self._on_failed()
            log.exception("version %s of %s cannot serve", version.version, version.name)
            known = error if isinstance(error, ProjectError) else None
            why = known.message if known else f"{type(error).__name__}, see the log"
            fix = (known.fix if known else "") or "make train-local"
            raise NoModelError(
                f"version {version.version} of {version.name} cannot serve: {why}", fix
            ) from error
        self._refused = None
        self._serve(Champion(version, model))
        self._on_loaded(version.version)
        log.info("version %s of %s serves", version.version, version.name)

    def _try(self, model: ServedModel) -> None:
        """Score a row that the contract allows, of an entity that nobody knows."""
        known = values_of_nobody(model.contract)
        score_rows(model, [{**example_features(self._contract), **known}])

    def _serve(self, champion: Champion) -> None:
        self._prepare(champion)
        self._champion = champion

    def _fall_back(self) -> str:
        """Serve the model that served last, where the registry is away and nothing serves yet."""
        champion = self._champion
        if champion is None and self._source is not None and not self._is_optional:
            try:
                kept = self._source.load_kept()
                if kept is not None:
                    version, model = kept
                    self._check_fits(model)
                    self._try(model)
                    champion = Champion(version, model, kept=True)
                    self._serve(champion)
                    self._on_loaded(version.version)
            except Exception:
                log.exception("the model that served last cannot serve")
        if champion is None or not champion.kept:
            return ""
        return f"; version {champion.version.version} serves from the copy on this machine"

    def _check_fits(self, model: ServedModel) -> None:
        """Refuse a model of other columns; row features and segments are its own."""
        if _form(self._contract.request) != _form(model.contract.request):
            raise NoModelError("it was trained with another contract", "make data train-local")
        if model.contract.forecast is not None and self._contract.forecast is None:
            raise NoModelError(
                "it forecasts, and config/project.yaml has no forecast",
                "write it there (forecast: …), or train again: make data train-local",
            )

    def _report(self, trouble: NoModelError | None, cause: Exception | None = None) -> None:
        """Keep the trouble for `/ready`; log it when it is new, not at every look."""
        if trouble:
            trouble.fix = with_model(trouble.fix, self._settings.model)
        before = self._trouble.message if self._trouble else None
        if trouble and trouble.message != before:
            log.warning("%s; fix: %s", trouble.message, trouble.fix, exc_info=cause)
        self._trouble = trouble


def _form(known: Contract) -> tuple[object, ...]:
    columns = [(each.name, each.type) for each in known.features]
    return known.problem, known.has_target and known.target.classes, columns


def score_rows(model: ServedModel, rows: list[dict[str, Any]]) -> list[ScoredRow]:
    """Score rows.

    Args:
        model: The model.
        rows: Dictionaries by feature name, as the contract allows them.

    Returns:
        One prediction a row, in their order.

    Raises:
        UnscorableError: If the values overflow inside the model, as 1e300 may.
    """
    try:
        with np.errstate(all="ignore"):  # an overflow is reported below, not as a warning
            scores = model.predict(rows)
    except (ArithmeticError, ValueError) as error:
        raise UnscorableError("the model cannot score these values", USUAL_SIZE) from error
    if not all(math.isfinite(score) for score in scores.scores):
        raise UnscorableError("the model's answer is not a finite number", USUAL_SIZE)
    classes = model.contract.target.classes
    by_class: list[dict[str, float] | None] = [None] * len(rows)
    if scores.probabilities is not None:
        by_class = [
            dict(zip(classes, probabilities, strict=True))
            for probabilities in scores.probabilities.tolist()
        ]
    lines: Sequence[float | None] = scores.lines or [None] * len(rows)
    return [*map(ScoredRow, scores.values, by_class, scores.scores, lines)]
