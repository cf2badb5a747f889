"""One value of one feature, as each of the readers sees it."""

import json
import math
from collections.abc import Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import ibis
import msgspec
import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from goldpath.compiled.form import CompiledForm, Encoder, Weights
from goldpath.compiled.native import build_kernel
from goldpath.contract import Contract, Feature
from goldpath.domain import Refusal, Value
from goldpath.lake.tables import REASONS, ROW_NUMBER
from goldpath.quality.checks import mark_rows, number_rows
from goldpath.quality.typed_rows import check_batch, require_types
from goldpath.quality.wide_rows import mark_table
from goldpath.serving.http.json_bodies import parse_json
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.lane.batch_rows import batch_reader
from goldpath.serving.lane.request_structs import RequestDecoder
from goldpath.serving.schemas import feature_rows, request_models
from goldpath.sources.files import SourceError

from ..ready_made import kernels

NAME = "x"
WHOLE = Refusal("refused as a whole: a body by the schema, a file for its column's type")
LEFT = Refusal("left to the request models")


class Readers:
    """The five readers of a contract with one feature.

    Args:
        feature: The feature, called `x`.
        seen: Texts that the model of an open category was trained on.
    """

    def __init__(self, feature: Feature, seen: Sequence[str] = ()) -> None:
        self.contract = Contract.model_validate(
            {
                "dataset": "one_value",
                "problem": "regression",
                "source": {"path": "rows.csv"},
                "target": {"column": "y"},
                "features": [feature.model_dump()],
                "personal": [NAME],  # so reasons do not quote the value
            }
        )
        self.domain = feature.domain
        known = feature.categories or tuple(dict.fromkeys(seen))
        self.form = _form({NAME: known} if feature.type == "category" else {})
        models = request_models(self.contract, by_key=False)
        self._both = models.single("Single"), models.batch("Batch", 1)
        self._decoder = RequestDecoder(self.contract, [NAME], 1)
        self._reader = batch_reader(self.contract, self.form, _library(), 1)
        assert (self._reader is None) == (feature.type == "text")

    def texts(self, texts: Sequence[str | None]) -> list[Value | Refusal]:
        """What the checks between bronze and silver make of raw texts."""
        raw = number_rows(pa.table({NAME: pa.array(texts, pa.string())}))
        marked = mark_rows(ibis.memtable(raw), self.contract, require_target=False).to_pyarrow()
        rows = sorted(marked.to_pylist(), key=itemgetter(ROW_NUMBER))
        assert mark_table(raw, self.contract, require_target=False).to_pylist() == rows
        assert len(rows) == len(texts)
        return [
            # A reason is `x: missing`, and another one behind it would be a reason too many.
            Refusal(row[REASONS].removeprefix(f"{NAME}: ").removesuffix("; "))
            if row[REASONS]
            else row[f"__value {NAME}"]
            for row in rows
        ]

    def column(self, values: Sequence[Any], kind: pa.DataType) -> list[Value | Refusal]:
        """What the checks of a Parquet file make of a column's values."""
        batch = pa.record_batch({NAME: pa.array(values, kind)})
        try:
            require_types(batch.schema, self.contract, "rows.parquet")
        except SourceError:
            return [WHOLE] * len(values)
        checked = check_batch(batch, self.contract)
        problems = {
            row: Refusal(text.removeprefix(f"{NAME}: ")) for row, text in checked.problems.items()
        }
        if self.domain.is_text:
            names = [*checked.values[NAME], None]
            found: list[Any] = [names[code] for code in checked.categories[NAME]]
        else:
            found = checked.numbers[NAME].tolist()
        return [
            problems[row] if row in problems else self._of_its_type(value)
            for row, value in enumerate(found)
        ]

    def schema(self, value: str) -> Value | Refusal:
        """What the request models make of a value's JSON text."""
        return self._schema(_row(value))

    def structs(self, value: str) -> Value | Refusal:
        """What the fast lane's structs make of it, or that they leave it."""
        return self._structs(_row(value))

    def compiled(self, value: str) -> Value | Refusal:
        """What the reader in C makes of it, or that it leaves it, as it does all free texts."""
        return self._compiled(_row(value))

    def left_out(self) -> tuple[Value | Refusal, Value | Refusal, Value | Refusal]:
        """What request models, structs and C make of a row without the feature."""
        return self._schema("{}"), self._structs("{}"), self._compiled("{}")

    def _schema(self, row: str) -> Value | Refusal:
        """Alone and in a batch, which must be the same."""
        found: list[Value | Refusal] = []
        models = self._both
        for model, body in zip(models, _bodies(row), strict=True):
            try:
                found.append(feature_rows(model.model_validate(parse_json(body)))[0][NAME])
            except (ValidationError, ProblemError):
                found.append(WHOLE)
        assert same(*found)
        return found[0]

    def _structs(self, row: str) -> Value | Refusal:
        body, batch = _bodies(row)
        single, rows = self._decoder.single(body), self._decoder.batch(batch)
        assert (single is None) == (rows is None)
        if single is None or rows is None:
            return LEFT
        assert same(single.values[0], rows.columns[0][0])
        assert same(single.values[0], msgspec.to_builtins(single.struct)[NAME])
        return self._of_its_type(single.values[0])

    def _compiled(self, row: str) -> Value | Refusal:
        rows = self._reader.read(_bodies(row)[1]) if self._reader else None
        if rows is None:
            return LEFT
        if self.domain.kind != "category":
            return self._of_its_type(float(rows.numbers[0, 0]))
        names: dict[int, str | None] = {code: name for name, code in self.form.codes[NAME].items()}
        return names[int(rows.codes[0, 0])]

    def _of_its_type(self, value: Value) -> Value:
        """The feature's value, of which the model gets a float64: NaN where it is missing."""
        if isinstance(value, str):
            return value
        if value is None or math.isnan(value):
            return None
        made: Value = {"boolean": bool, "integer": int, "number": float}[self.domain.kind](value)
        assert made == value
        return made


def same(one: object, other: object) -> bool:
    """Whether values are the same and of the same type."""
    return type(one) is type(other) and one == other


@cache
def _library() -> Path:
    found = build_kernel(kernels())
    assert found is not None
    return found


def _row(value: str) -> str:
    return f"{{{json.dumps(NAME)}: {value}}}"


def _bodies(row: str) -> tuple[bytes, bytes]:
    return f'{{"features": {row}}}'.encode(), f'{{"instances": [{row}]}}'.encode()


def _form(categories: dict[str, tuple[str, ...]]) -> CompiledForm:
    """A model that is never asked: only its features and their codes matter to the reader."""
    nothing = np.zeros(0)
    encoder = Encoder(nothing, nothing, nothing, nothing, nothing, nothing, nothing)
    return CompiledForm(
        numbers=() if categories else (NAME,),
        categories=categories,
        encoder=encoder,
        model=Weights(nothing),
        bias=nothing,
        divisor=1.0,
        link="identity",
        classes=(),
    )
