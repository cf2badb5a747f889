"""Batches of a compiled model without Python objects: what the contract and the log ask of them.

The reader takes less than the decoder of `request_structs.py`, and reads it alike; a test compares
them. What it leaves goes there.
"""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from goldpath.compiled.form import CompiledForm
from goldpath.compiled.json_rows import Field, JsonRows, LineParts, RowReader, RowWriter
from goldpath.contract import Contract, Feature
from goldpath.learning.decision.interval import ends
from goldpath.learning.decision.threshold import UNSURE, DecisionRule, rule_of


def batch_reader(
    contract: Contract,
    form: CompiledForm,
    library: Path,
    most_rows: int,
    hidden: tuple[str, ...] = (),
) -> RowReader | None:
    """A reader of `/predict/batch`; None where the form knows other features than the contract.

    Args:
        contract: What a row is.
        form: Where its values go.
        library: Holds the reader.
        most_rows: How many instances a request may hold.
        hidden: Features that are not logged.
    """
    numbers = contract.numeric_features
    if (
        contract.text_features
        or {*numbers} != {*form.numbers}
        or {*contract.category_features} != {*form.categories}
    ):
        return None
    return RowReader(
        [_field(feature, form, feature.name in hidden) for feature in contract.features],
        library,
        most_rows,
    )


def tells_groups(contract: Contract, form: CompiledForm) -> bool:
    """Whether codes tell the groups apart by whose value a version has several thresholds.

    Args:
        contract: The version's.
        form: Where a row's values go.
    """
    rule = rule_of(contract)
    return not rule.column or {*rule.by_group} <= {*form.codes.get(rule.column, rule.by_group)}


def _field(feature: Feature, form: CompiledForm, is_hidden: bool) -> Field:
    name, domain = feature.name, feature.domain
    lowest, highest = domain.limits
    if domain.kind != "category":
        place = form.numbers.index(name)
        return Field(name, domain.kind, place, domain.nullable, lowest, highest, hidden=is_hidden)
    codes, place = form.codes[name], list(form.categories).index(name)
    known = domain.categories
    if known is None:
        # Others are allowed; whether they are words for a missing value is not decided here.
        known = tuple(text for text in codes if text and domain.accept(text) == text)
    unknown, missing = len(codes) - 1, codes[None]
    taken = {text: codes.get(text, unknown) for text in known}
    return Field(
        *(name, domain.kind, place, domain.nullable, lowest, highest),
        *(taken, missing, is_hidden),
    )


class BatchWriter:
    """Writes what the log and the client get of a batch.

    Args:
        contract: The version's: its classes are in the order of the probabilities, and it says
            what an answer has beside the prediction.
        form: Where the reader puts a row's values.
        model_name: The registered model.
        model_version: Its version.
        library: Holds the writer.
    """

    def __init__(
        self,
        contract: Contract,
        form: CompiledForm,
        model_name: str,
        model_version: str,
        library: Path,
    ) -> None:
        classes, self._rule = contract.target.classes, rule_of(contract)
        self._interval = contract.prediction_interval
        name, version = json.dumps(model_name), json.dumps(model_version)
        labels = tuple(json.dumps(label, ensure_ascii=False) for label in classes)
        starts = ["{", *[","] * (len(labels) - 1)]
        probabilities = [f"{start}{label}:" for start, label in zip(starts, labels, strict=False)]
        if classes:
            probabilities[0] = f',"probabilities":{probabilities[0]}'
        behind = "}" if classes else ',"probabilities":null'
        if self._interval is not None:
            probabilities = ["", ',"lower":', ',"upper":']
            behind = f',"interval":{self._interval.level!r}{behind}'
        parts = LineParts(
            line=('{"prediction_id":"', ',"prediction":', ',"score":', ',"entity":null}\n'),
            item=('{"prediction":', f'{behind},"prediction_id":"', '"}'),
            outputs=tuple(probabilities),
            labels=labels,
            score={0: 0, 2: 1}.get(len(classes)),
            others=_decisions(labels, self._rule),
        )
        self._labels = len(labels) if parts.others else 0
        self._lines = _line_reader(self._rule, form)
        self._different = np.array(_different(self._rule))
        self._writer = RowWriter(parts, len(probabilities) or 1, library)
        head = f'"model_name":{name},"model_version":{version},"predictions":['
        self._head = b"{" + head.encode()
        self._behind_time = f'","model_version":{version},"features":'
        self._encode = msgspec.json.Encoder().encode

    def lines_of(self, rows: JsonRows) -> np.ndarray | None:
        """The threshold of each row, shape (rows,); None where all rows have the same."""
        return self._lines(rows) if self._lines else None

    def write(
        self,
        rows: JsonRows,
        answers: np.ndarray,
        best: np.ndarray,
        first_id: str,
        at: str,
        lines: np.ndarray | None = None,
    ) -> tuple[memoryview, bytes]:
        """The log's lines, and the answer's body.

        Args:
            rows: The rows.
            answers: Finite, of shape (rows, classes or 1).
            best: Each row's label, shape (rows,).
            first_id: The first row's id; the others are counted on.
            at: When, ISO 8601.
            lines: The threshold that decided each row, where there are several.
        """
        shown = best + self._labels
        if self._rule.unsure is not None:
            shown += self._labels * self._rule.left_open(answers[:, 1])
        if lines is not None:
            kinds = self._labels * (1 if self._rule.unsure is None else 2)
            shown += kinds * np.searchsorted(self._different, lines)
        if self._interval is not None:
            answers = np.column_stack([answers, *ends(self._interval, answers[:, 0])])
        floats = self._encode(answers.ravel().tolist())[1:-1] + b","
        stamp = f'","at":"{at}{self._behind_time}'.encode()
        logged, items = self._writer.write(rows, shown, floats, first_id, stamp)
        return logged, b"%b%b]}" % (self._head, items)


def _different(rule: DecisionRule) -> tuple[float, ...]:
    """The different thresholds of two classes, the least first; none without one."""
    if rule.threshold is None:
        return ()
    return tuple(sorted({rule.threshold, *rule.by_group.values()}))


def _line_reader(rule: DecisionRule, form: CompiledForm) -> Callable[[JsonRows], np.ndarray] | None:
    """What gives the threshold of each row that was read; None where all rows have the same."""
    if not rule.column:
        return None
    if rule.column in form.numbers:  # a boolean
        at = form.numbers.index(rule.column)
        return lambda rows: rule.lines(rows.numbers[:, at].tolist())
    codes, at = form.codes[rule.column], list(form.categories).index(rule.column)
    by_code = np.full(len(codes) + 1, rule.threshold)  # the last but one is of a text never seen
    for text, code in codes.items():
        by_code[code] = rule.line(text)
    return lambda rows: by_code[rows.codes[:, at]]


def _decisions(labels: tuple[str, ...], rule: DecisionRule) -> tuple[str, ...]:
    """What an item shows in a label's place: each label decided, then each label left open.

    Where groups have thresholds of their own: each label decided at the least one, and so on.

    Args:
        labels: As JSON.
        rule: Shows nothing where it has no threshold, and null of a class without one.
    """
    if rule.by_class:
        lines = [
            f',"threshold":{line!r}' if line else ',"threshold":null' for line in rule.by_class
        ]
        return tuple(
            f'{label},"decision":{label}{line}' for label, line in zip(labels, lines, strict=True)
        )
    if rule.threshold is None:
        return ()
    decided = [(each, each) for each in labels]
    left_open = [(each, f'"{UNSURE}"') for each in labels] if rule.unsure is not None else []
    return tuple(
        f'{label},"decision":{decision},"threshold":{line!r}'
        for line in _different(rule)
        for label, decision in (*decided, *left_open)
    )
