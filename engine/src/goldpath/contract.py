"""The dataset contract: the one place where columns are named.

`config/project.yaml` holds it, `make adopt` writes it, and everything else is derived from it:
the checks between bronze and silver, the gold table, the model's input, the API's request model
and the drift columns.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from goldpath.domain import Domain, DomainError
from goldpath.forecast import (
    CLUSTERING,
    TARGET_OF_EVENTS,
    Forecast,
    GroupThresholds,
    PredictionInterval,
    Target,
    check_segments,
    with_segments,
)
from goldpath.models.folders import chosen_model, contract_file
from goldpath.models.main_contract import (
    NOTHING,
    OF_A_FOLDER,
    how_to_restore,
    inherited_from,
    require_own_dataset,
    shared_with,
    source_of_environment,
)
from goldpath.row_contract import (
    EVENT_TIME,
    RESERVED,
    ROW_ID,
    ContractError,
    Feature,
    RowContract,
    contract_text,
    read_contract,
)

__all__ = [
    "EVENT_TIME",
    "RESERVED",
    "ROW_ID",
    "Contract",
    "ContractError",
    "Feature",
    "GroupThresholds",
    "PredictionInterval",
    "Problem",
    "Target",
    "dump_contract",
    "load_contract",
    "parse_contract",
    "parse_further",
]

Problem = Literal["classification", "regression", "clustering"]

CONTRACT_FILE = "config/project.yaml"
KEYS = (
    "dataset", "problem", "source", "entity", "entity_repeats", "event_time", "target", "forecast",
    "features", "ignored", "personal", "fairness_groups", "decision_threshold",
    "decision_thresholds", "decision_unsure", "decision_groups", "prediction_interval", "segments",
    "model", "main",
)  # fmt: skip
"""The order in which the file is written."""
VERSIONS_OWN = KEYS[KEYS.index("decision_threshold") : KEYS.index("model")]
"""What a training adds to a version's contract: settings of `decision`, and the segments."""


class Contract(RowContract):
    """What a row of this project's data is.

    Attributes:
        dataset: Short name; names the lake's tables and the registered model.
        problem: Classification (binary or of several classes), regression or clustering.
        source: Where raw rows come from.
        entity: Raw column that identifies a row's subject; None: the row's number in its file.
        entity_repeats: Whether a subject may have several rows although the data has no time, such
            as a patient's visits. Rows are then told apart by their number in their file.
        event_time: When a row became true; None where the data has no time.
        target: What is predicted; of a clustering the segments, and no column.
        forecast: Of a series whose rows are asked for before their time; None: they are asked for
            at their time.
        features: The model's inputs, in order.
        ignored: Raw columns that are left out, each with the reason.
        personal: Raw columns that say something about a person (LGPD, GDPR). The entity needs no
            mention: a row of a person is found by it.
        fairness_groups: Features whose groups the model must treat alike (`docs validation`).
            Values of a category are the groups; a number is divided into quarters.
        decision_threshold: Of a model version: the positive class is decided where its probability
            is above this; None: the most probable class. `config/project.yaml` holds none.
        decision_thresholds: Of a version of several classes: see `DecisionRule`. Empty: they were
            tuned, and the most probable class was best.
        decision_unsure: Of a model version with a threshold: from the first to the second
            probability, both included, the decision is `unsure`.
        decision_groups: Of a version with a threshold: those that are some groups' own.
        prediction_interval: Of a model version of a regression: what lies around its answers.
        segments: Of a version of a clustering: the names of its segments by their numbers.
        model: The name of a further model, whose file is `models/NAME/project.yaml`; empty: the
            main one. No file says it.
        main: Of a further model: the main model's dataset, whose raw rows both read.

    Example:
        >>> from goldpath import Contract
        >>> contract = Contract.model_validate({
        ...     "dataset": "flats",
        ...     "problem": "regression",
        ...     "source": {"path": "data/flats.csv"},
        ...     "target": {"column": "rent"},
        ...     "features": [
        ...         {"name": "area", "type": "number", "minimum": 0},
        ...         {"name": "district", "type": "category", "nullable": True},
        ...     ],
        ... })
        >>> contract.numeric_features, contract.category_features
        (['area'], ['district'])
    """

    problem: Problem
    entity_repeats: bool = False
    target: Target
    forecast: Forecast | None = None
    features: tuple[Feature, ...] = Field(min_length=1)
    fairness_groups: tuple[str, ...] = ()
    decision_threshold: float | None = Field(default=None, ge=0, le=1)
    decision_thresholds: dict[str, float] | None = None
    decision_unsure: tuple[float, float] | None = None
    decision_groups: GroupThresholds | None = None
    prediction_interval: PredictionInterval | None = None
    segments: dict[int, str] | None = None
    model: str = ""
    main: str = ""

    @model_validator(mode="before")
    @classmethod
    def name_segments(cls, given: Any) -> Any:
        """A clustering has segments in the place of a target."""
        return with_segments(given)

    @model_validator(mode="after")
    def check_target(self) -> Self:
        """The target suits the problem, and is no input."""
        names = self.feature_names
        self.target.check_rows(self.problem, self.dataset, self.entity, self.event_time, RESERVED)
        check_segments(self.problem, self.segments, self.text_features)
        if self.has_target and self.target.column in names:
            raise ValueError(f"the target {self.target.column!r} is among the features")
        if self.entity_repeats and (self.entity is None or self.event_time is not None):
            raise ValueError("entity_repeats is for data with an entity and without event_time")
        strange = sorted({*self.fairness_groups} - ({*names} - {*self.text_features}))
        if strange or len(set(self.fairness_groups)) < len(self.fairness_groups):
            raise ValueError(
                f"fairness_groups names features with groups, each once; not so: {strange or 'no'}"
            )
        if self.problem == "classification" and len(set(self.target.classes)) < 2:
            raise ValueError("a classification target needs two classes or more")
        if self.problem == "regression" and self.target.classes:
            raise ValueError("a regression target has no classes")
        if self.forecast is not None:
            self.forecast.check_rows(self.problem, self.entity, self.event_time)
        self.target.check_decisions(
            self.problem, self.decision_threshold, self.decision_thresholds, self.decision_unsure
        )
        if self.decision_groups is not None:
            kinds = {each.name: each.type for each in self.features if not each.is_computed}
            self.decision_groups.check_rows(kinds, self.decision_threshold)
        if self.prediction_interval is not None and self.problem != "regression":
            raise ValueError("prediction_interval is for a regression")
        try:
            _ = self.target_domain if self.has_target else None
        except DomainError as error:
            raise ValueError(f"target.classes: {error}") from error
        return self

    @property
    def has_target(self) -> bool:
        """Whether rows have a true label or value; a clustering's have none."""
        return self.problem != CLUSTERING

    @property
    def label_columns(self) -> list[str]:
        """The target's column in silver and gold, if there is one."""
        return [self.target.column] if self.has_target else []

    @property
    def file(self) -> str:
        """The file that holds it, from the project's root."""
        return contract_file(self.model) if self.model else CONTRACT_FILE

    @property
    def base(self) -> str:
        """The dataset whose raw rows these are: the main model's."""
        return self.main or self.dataset

    @property
    def inferred_by(self) -> str:
        """The command that writes the file from data."""
        if self.model:
            return f"make add-model NAME={self.model} TARGET=…"
        return f"make adopt DATA=… {'TARGET=…' if self.has_target else 'PROBLEM=clustering'}"

    @property
    def has_key(self) -> bool:
        """Whether entity and event time tell rows apart; else their number in their file does."""
        return self.entity is not None and not self.entity_repeats

    @property
    def key_columns(self) -> list[str]:
        """Entity and event time: of several rows with the same ones, silver keeps the last."""
        return [self.entity_column, *([EVENT_TIME] if self.has_time else [])]

    @property
    def rules(self) -> str:
        """What decides how silver and gold read a row, as text."""
        # Key by key, since the order is part of what the digests of existing lakes stand for.
        values = [
            self.request.model_dump_json(
                include={key},
                exclude={
                    "features": {"__all__": {"expression", "window", "maximum_length"}},
                    # Without what no column has, which would be another text for existing lakes.
                    "target": set() if self.target.event else set(TARGET_OF_EVENTS),
                },
            )[1:-1]
            for key in ("problem", "entity", "event_time", "target", "features")
            if key != "target" or self.has_target
        ]
        rules = f"{{{','.join(values)}}}"
        for feature in self.computed_features:
            rules += f"\n{feature.name} {feature.type} {feature.expression or feature.window}"
        lengths = [f"\n{x.name}: {x.maximum_length}" for x in self.features if x.maximum_length]
        return rules + "".join(lengths)

    @property
    def is_binary(self) -> bool:
        """Whether the target has exactly two classes."""
        return self.problem == "classification" and len(self.target.classes) == 2

    @property
    def horizon(self) -> str:
        """How long after what is known of a row its target is known: `30d`; empty: with it."""
        return self.forecast.horizon if self.forecast else self.target.within

    def with_features(self, features: Sequence[Feature], personal: Sequence[str]) -> "Contract":
        """The same contract with other features, and with other columns that are personal."""
        return self.with_parts(features=tuple(features), personal=tuple(personal))

    def with_parts(self, **changed: object) -> "Contract":
        """The same contract with other values, which are checked."""
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        return Contract.model_validate(parts | changed)

    def with_threshold(
        self, threshold: float | None, unsure: tuple[float, float] | None = None
    ) -> "Contract":
        """The same contract, of a version that decides at this threshold, or is unsure."""
        return self.with_parts(decision_threshold=threshold, decision_unsure=unsure)

    def with_interval(self, interval: PredictionInterval | None) -> "Contract":
        """The same contract, of a version whose answers have this interval."""
        return self.with_parts(prediction_interval=interval)

    @cached_property
    def request(self) -> "Contract":
        """The contract of what a request sends: this one without what is computed."""
        return self._without(self.computed_features)

    @cached_property
    def recorded(self) -> "Contract":
        """The contract of what is kept of a prediction: this one without its row features.

        Those can be computed again from it; what a window held at that time cannot.
        """
        return self._without(self.row_features)

    def _without(self, left_out: Sequence[Feature]) -> "Contract":
        if not left_out:
            return self
        names = {feature.name for feature in left_out}
        kept = [feature for feature in self.features if feature.name not in names]
        return self.with_features(kept, [name for name in self.personal if name not in names])

    @property
    def target_domain(self) -> Domain:
        """What a label may be; it is never missing where a row is learned from."""
        if self.problem == "regression":
            return Domain("number")
        return Domain("category", categories=self.target.classes)

    @property
    def raw_columns(self) -> list[str]:
        """Every raw column that the contract reads."""
        sent = [feature.name for feature in self.features if not feature.is_computed]
        columns = [*sent, *([] if self.target.event else self.label_columns)]
        if self.entity:
            columns.insert(0, self.entity)
        if self.event_time:
            columns += self.event_time.columns
        return list(dict.fromkeys(columns))

    @property
    def model_name(self) -> str:
        """The registered model's name."""
        return self.dataset


def load_contract(root: Path, model: str | None = None) -> Contract:
    """Read `config/project.yaml`, with the source of this environment where it has another.

    A further model's `models/NAME/project.yaml` holds what differs from it.

    Args:
        root: The project's folder, such as `load_settings().root`.
        model: A further model, empty for the main one; the one that `MLOPS_MODEL` names where not
            given.

    Raises:
        ContractError: If the file is missing or wrong; names the key, the value and the fix.
        ModelNameError: If there is no such model; names those that there are.

    Example:
        >>> from goldpath import load_contract, load_settings
        >>> contract = load_contract(load_settings().root)
        >>> contract.problem, contract.target.classes
        ('classification', ('no', 'yes'))
    """
    name = chosen_model(root, model)
    main = _load(root, CONTRACT_FILE, lambda text: parse_contract(text, OF_A_FOLDER))
    main = main.with_parts(source=source_of_environment(main.source, root))
    if not name:
        return main
    return _load(root, contract_file(name), lambda text: parse_further(text, name, main))


def _load(root: Path, shown: str, parse: Callable[[str], Contract]) -> Contract:
    """Read a file that holds what is said by hand, and nothing that is computed or decided."""
    file = root / shown
    name = file.name if shown == CONTRACT_FILE else shown
    if not file.is_file():
        raise ContractError(f"{shown} is missing", how_to_restore(shown))
    text = contract_text(file, name)
    try:
        contract = parse(text)
    except ContractError as error:
        raise ContractError(f"{name}: {error.message}", error.fix) from error
    if computed := contract.computed_features:
        what = "an expression" if computed[0].expression else "a window"
        raise ContractError(
            f"{name}: feature {computed[0].name} has {what}",
            "define it in Python: @row_feature or @window_feature, handed over as "
            "Project(features=…)",
        )
    folder = shown.rpartition("/")[0]
    for part in VERSIONS_OWN:
        if (value := getattr(contract, part)) is not None:
            where = f"decision.{part.partition('_')[2]} in {folder}/decision.yaml"
            if part == "segments":
                where = f"training.segment_names in {folder}/training.yaml"
            raise ContractError(
                f"{name}: {part}={value} is a model version's", f"set {where}, and train"
            )
    return contract


def parse_further(text: str, name: str, main: Contract) -> Contract:
    """A further model's contract from YAML text: it has the main model's raw rows."""
    file, known = contract_file(name), shared_with(main, name)
    contract = read_contract(Contract, text, file, known, inherited=inherited_from(main, name))
    require_own_dataset(contract, main, name)
    return contract


def parse_contract(text: str, known: Mapping[str, str] = NOTHING) -> Contract:
    """Read a contract from YAML text, which says nothing of what is `known`.

    Raises:
        ContractError: If the text is not YAML, or breaks a rule.
    """
    return read_contract(Contract, text, CONTRACT_FILE, known)


def dump_contract(contract: Contract) -> str:
    """The contract as YAML that `parse_contract` reads back to an equal contract."""
    given = contract.model_dump(mode="json", exclude_defaults=True)
    values = {key: given[key] for key in KEYS if key in given}
    if contract.has_target:
        values["target"] = contract.target.written(values["target"])
    else:
        del values["target"]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
