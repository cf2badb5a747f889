"""What the pipelines left in `reports/`: the last training, the last gate, the last drift check.

Other processes write them: what is missing, torn or of another form is None.
"""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from goldpath.serving.metrics.reports import read_json


class _Figures(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class TrainingFigures(_Figures):
    """The last training on this machine."""

    metric: str
    value: FiniteFloat | None  # undefined where null
    interval: tuple[FiniteFloat | None, FiniteFloat | None] | None = None
    baseline: FiniteFloat | None = None
    family: str = ""
    n_train: int = 0
    n_test: int = 0
    model_version: str | None = None
    semantic_version: str | None = None


class PromotionFigures(_Figures):
    """What the gate said last on this machine."""

    model_version: str
    promoted: bool
    previous_champion: str | None = None
    alias: str = "champion"
    checks: dict[str, str] = {}


class DriftColumn(_Figures):
    """One column of a drift check."""

    name: str
    effect: FiniteFloat | None = None
    limit: FiniteFloat | None = None
    drifted: bool = False
    reason: str = ""


class DriftFigures(_Figures):
    """The last drift check on this machine."""

    verdict: str
    message: str = ""
    checked_at: str | None = None
    rows: int | None = None
    model_version: str | None = None
    source: str = ""
    window: str = ""
    since: str | None = None
    calibration: str = ""
    detectable: FiniteFloat | None = None
    notes: list[str] = []
    columns: list[DriftColumn] = []


Figures = TypeVar("Figures", bound=_Figures)


def training_figures(reports: Path) -> TrainingFigures | None:
    """What `reports/training.json` says."""
    return _read(reports / "training.json", TrainingFigures)


def promotion_figures(reports: Path) -> PromotionFigures | None:
    """What `reports/promotion.json` says."""
    return _read(reports / "promotion.json", PromotionFigures)


def drift_figures(reports: Path) -> DriftFigures | None:
    """What `reports/drift.json` says."""
    return _read(reports / "drift.json", DriftFigures)


def _read(file: Path, kind: type[Figures]) -> Figures | None:
    try:
        return kind.model_validate(read_json(file))
    except ValidationError:
        return None
