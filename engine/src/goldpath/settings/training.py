"""How a model is searched for, judged and compared with the champion."""

import re
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from goldpath.settings.section import Section

MOST_SEGMENTS = 50


class TrainingSettings(Section):
    """How the model is searched for, judged and promoted."""

    config_file: ClassVar[str] = "training.yaml"

    families: tuple[str, ...] = Field(
        default=(),
        description="what the search chooses from: the project's own by their names, and boosting, "
        "linear, forest, extra_trees, lightgbm, xgboost, catboost; empty: the project's own, and "
        "without any boosting and linear",
    )
    metric: str = Field(
        default="",
        description="what the search maximises and the gate compares: a metric of the engine's or "
        "of the project's own, or `value` (decision.values); empty: the project's own, and without "
        "one roc_auc, roc_auc_ovr or r2",
    )
    clusters: tuple[int, int] = Field(
        default=(2, 12),
        description="of a clustering: the fewest and the most segments that are tried",
    )
    segment_names: dict[int, str] = Field(
        default={},
        description="of a clustering: names of segments by their numbers, from the next version on",
    )
    trials: int = Field(default=12, ge=1, description="Optuna trials, the defaults included")
    timeout_seconds: float = Field(default=60, gt=0, description="no trial starts after this")
    search_rows: int = Field(
        default=100_000,
        ge=100,
        description="trials, threshold and interval are found on about so many training rows, "
        "drawn as the split is, more where a class would have fewer than 500; the winner learns "
        "from all",
    )
    cv_folds: int = Field(default=3, ge=2)
    split: Literal["auto", "time", "group", "stratified"] = Field(
        default="auto",
        description="auto: by time where there is one, by entity where entities repeat",
    )
    test_fraction: float = Field(default=0.2, gt=0, lt=0.5)
    maximum_quarantine_share: float = Field(
        default=0.2, ge=0, le=1, description="no training where more rows were refused than this"
    )
    seed: int = Field(default=42, ge=0, lt=2**32)
    bootstrap_samples: int = Field(default=500, ge=100)
    minimum_test_rows: int = Field(default=200, ge=20)
    champion_tolerance: float = Field(
        default=0.005, ge=0, description="how much worse than the champion a candidate may be"
    )
    leak_threshold: float = Field(
        default=0.995, gt=0.5, le=1, description="a single feature's score that counts as a leak"
    )
    parity_rows: int = Field(
        default=1_000_000,
        ge=1000,
        description="rows on which the compiled model must answer as the fitted pipeline does",
    )

    text_terms: int = Field(
        default=20_000,
        ge=10,
        description="words and pairs of words that are told apart in each free text column",
    )
    text_axes: int = Field(
        default=32, ge=1, le=500, description="numbers that a model sees of each free text's words"
    )

    @field_validator("clusters")
    @classmethod
    def _is_a_range(cls, clusters: tuple[int, int]) -> tuple[int, int]:
        fewest, most = clusters
        if not 2 <= fewest <= most <= MOST_SEGMENTS:
            raise ValueError(
                f"[{fewest}, {most}] is no range within 2 to {MOST_SEGMENTS}: such as [2, 12]"
            )
        return clusters

    @field_validator("segment_names")
    @classmethod
    def _name_apart(cls, names: dict[int, str]) -> dict[int, str]:
        if empty := [number for number, name in names.items() if not name.strip()]:
            raise ValueError(f"segment {empty[0]} has an empty name: give it one, or leave it out")
        plain = re.compile(r"segment_\d+")
        taken = [f"{number}: {name}" for number, name in names.items() if plain.fullmatch(name)]
        if taken:
            raise ValueError(f"{taken[0]!r} is the name of another segment: choose a word")
        if twice := [name for name in names.values() if [*names.values()].count(name) > 1]:
            raise ValueError(f"two segments are called {twice[0]!r}: name each otherwise")
        return names

    @field_validator("families")
    @classmethod
    def _are_different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} is named twice: name each family once")
        return names
