"""A project's answer fields and metrics, tried on rows that the contract allows."""

from collections.abc import Mapping, Sequence
from inspect import formatannotation
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from pydantic import ValidationError
from pydantic.errors import PydanticUserError

from goldpath.contract import Contract, parse_contract
from goldpath.errors import ProjectError
from goldpath.features.window.learned import values_of_nobody
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.learning.decision.fields import fields_of
from goldpath.learning.decision.threshold import rule_of
from goldpath.registry.layout import CONTRACT_FILE
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.stores.store import SQLITE
from goldpath.serving.answers.metric_series import MetricSeries
from goldpath.serving.answers.models import answer_models
from goldpath.serving.answers.own_fields import (
    AnswerField,
    AnswerFieldError,
    Prediction,
    line_of,
    row_of,
)
from goldpath.serving.answers.service_metric import ServiceMetric
from goldpath.serving.schemas import example_features
from goldpath.settings import Settings


def require_answers(
    fields: Sequence[AnswerField], contract: Contract, learned: Contract | None = None
) -> None:
    """Try each field on rows that the contract allows, with each answer that there may be.

    Args:
        fields: The project's.
        contract: Its features are those that a request sends.
        learned: Has the computed features, too, where the project defines some; window features
            are tried as they are of somebody whom no source knows. Its threshold or interval is
            what an answer has beside its prediction.

    Raises:
        ProjectDefinitionError: If a field is called like a column, reads a feature that no request
            sends, or fails, or no answer can be made with the fields; names file, line and fix.
    """
    columns = {*contract.raw_columns, *contract.feature_names}
    computed = {each.name for each in (learned or contract).computed_features}
    full = example_features(contract) | values_of_nobody(learned or contract)
    try:
        answer_models(fields)
    except (NameError, TypeError, ValueError, PydanticUserError) as error:
        raise ProjectDefinitionError(
            f"no answer can be made with {', '.join(each.name for each in fields)}: {error}",
            "give the answer field another name, or another return type",
        ) from error
    empty = {each.name: None for each in contract.features if each.nullable}
    predictions = _possible(learned or contract)
    for field in fields:
        if field.name in columns | computed:
            what = "a column of config/project.yaml" if field.name in columns else "a feature"
            raise ProjectDefinitionError(
                f"{place_of(field.function)}: an answer field cannot be called {field.name!r}, "
                f"which is {what}",
                "give the function another name: the predictions table has a column for each",
            )
        for values in (full, full | empty):
            for prediction in predictions:
                try:
                    field.value(row_of(values), prediction)
                except AnswerFieldError as error:
                    raise ProjectDefinitionError(
                        error.message + _about(error.__cause__, values, empty),
                        f"return what its type says, {formatannotation(field.kind)}"
                        if isinstance(error.__cause__, ValidationError | None)
                        else "a row has the features of a request and looked-up columns: "
                        + ", ".join(full),
                    ) from error


def require_metrics(
    metrics: Sequence[ServiceMetric], contract: Contract, learned: Contract
) -> None:
    """Try each metric of the service as `require_answers` tries fields.

    Args:
        metrics: The project's.
        contract: Its features are those that a request sends.
        learned: Has the computed features and the threshold, too.

    Raises:
        ProjectDefinitionError: If one is called like another metric, or fails; names file, line
            and fix.
    """
    MetricSeries(metrics, CollectorRegistry())
    full = example_features(contract) | values_of_nobody(learned)
    empty = {each.name: None for each in contract.features if each.nullable}
    taken = REGISTRY._names_to_collectors
    for metric in metrics:
        place = place_of(metric.function)
        if metric.name in taken:
            raise ProjectDefinitionError(
                f"{place}: the project counts in a metric {metric.name!r} of prometheus_client "
                "already",
                "give the function another name",
            )
        for values in (full, full | empty):
            for prediction in _possible(learned):
                try:
                    metric.value(row_of(values), prediction)
                except Exception as error:
                    raise ProjectDefinitionError(
                        f"{place}: the metric {metric.name} failed{line_of(metric.function, error)}"
                        f": {type(error).__name__}{_about(error, values, empty)}",
                        "a row has the features of a request and looked-up columns: "
                        + ", ".join(full),
                    ) from error


def require_same_kinds(metrics: Sequence[ServiceMetric]) -> None:
    """Refuse metrics of several models that have one name and show different things.

    Raises:
        ProjectDefinitionError: If there are two; names their files and lines.
    """
    known: dict[str, ServiceMetric] = {}
    for metric in metrics:
        first = known.setdefault(metric.name, metric)
        if first.kind != metric.kind:
            raise ProjectDefinitionError(
                f"{place_of(metric.function)} is a {metric.kind}, and the {first.kind} "
                f"{place_of(first.function)} has the same name; one service shows both",
                "give one of them another name, or both the same kind",
            )


def answered_segments(settings: Settings, contract: Contract) -> Mapping[int, str] | None:
    """The segments that answers may name, by number: the champion's, or all that there may be.

    Only a registry on this machine is asked, since a check needs no server. Without a champion
    there are as many as `training.clusters` allows, with the owner's names.
    """
    if contract.has_target:
        return None
    training = settings.training
    numbers = sorted({*range(1, training.clusters[1] + 1), *training.segment_names})
    named = {each: training.segment_names.get(each, f"segment_{each}") for each in numbers}
    return _champions_segments(settings, contract) or named


def _champions_segments(settings: Settings, contract: Contract) -> Mapping[int, str] | None:
    address = settings.tracking_uri
    if not address.startswith(SQLITE) or not Path(address.removeprefix(SQLITE)).is_file():
        return None
    manager = MLflowManager(settings, contract)
    try:
        if (champion := manager.champion_version()) is None:
            return None
        text = manager.read_text(champion.run_id, CONTRACT_FILE)
        return parse_contract(text).segments
    except (ProjectError, OSError):
        return None  # whoever uses the champion is told what is wrong with it


def _possible(contract: Contract) -> list[Prediction]:
    """A number, or each class; of a version with a threshold each decision that it may come to."""
    classes, rule = contract.target.classes, rule_of(contract)
    even = dict.fromkeys(classes, 1 / max(1, len(classes)))
    found = [(value, even.get(str(value), 0.0), even) for value in classes or (0.0,)]
    if rule.threshold is not None:
        inside = sum(rule.unsure) / 2 if rule.unsure else rule.threshold
        shares = [(1 - score, score) for score in (0.0, inside, 1.0)]
        found = [
            (classes[rule.label(each)], each[1], dict(zip(classes, each, strict=True)))
            for each in shares
        ]
    beside = fields_of(contract)
    return [
        Prediction(
            value,
            score,
            probabilities,
            **dict(zip(beside.names, beside.of_row(value, score), strict=True)),
        )
        for value, score, probabilities in found
    ]


def _about(cause: BaseException | None, values: Mapping[str, Any], empty: Mapping[str, Any]) -> str:
    """What people need to know of the row that it failed on, in one line."""
    said = cause.errors()[0]["msg"] if isinstance(cause, ValidationError) else str(cause)
    reason = f" ({said})" if cause is not None else ""
    if isinstance(cause, KeyError):
        return f" ({cause} is no feature of a request)"
    if empty and all(values[name] is None for name in empty):
        return f"{reason}, on a row without {', '.join(empty)}"
    return reason
