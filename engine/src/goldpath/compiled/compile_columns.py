"""From fitted transformers to the columns that a model sees.

What can be compiled is listed by type. Anything else is refused with its name; a part that is only
similar is never guessed at.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from goldpath.compiled.form import (
    MISSING,
    NUMBER,
    TABLE,
    CompiledForm,
    CompiledFormError,
    Encoder,
    Link,
    Trees,
    Weights,
)
from goldpath.learning.stored import stored_class_of

MOST_COLUMNS = (1 << 15) - 1
"""A node names its column in 16 bits."""


class NotCompilableError(CompiledFormError):
    """The pipeline holds a part that has no compiled form."""


def not_compilable(part: Any) -> NotCompilableError:
    """The error that names a part."""
    own = stored_class_of(getattr(part, "model", None))
    if own is not None:
        spoken = f"the project's {own.kind.__name__}, stored as {own.name!r},"
        return NotCompilableError(f"{spoken} has no compiled form", "the pipeline itself serves")
    name = f"{type(part).__module__.partition('.')[0]}'s {type(part).__name__}"
    return NotCompilableError(f"{name} has no compiled form", "the pipeline itself serves")


@dataclass(frozen=True)
class Column:
    """One column on its way through the pipeline.

    Attributes:
        kind: `NUMBER`, `MISSING` or `TABLE`.
        source: Which number, or which category.
        fill: In place of a missing number.
        centre: Subtracted.
        scale: Divided by.
        values: Of a category's codes: the known ones, unknown, missing.
    """

    kind: int
    source: int
    fill: float = np.nan
    centre: float = 0.0
    scale: float = 1.0
    values: np.ndarray | None = None


@dataclass(frozen=True)
class Category:
    """A category column before it is encoded."""

    source: int
    known: tuple[str, ...]


def encoders(step: Any, names: Sequence[str]) -> Iterator[tuple[Sequence[str], Any]]:
    """Every encoder of categories that sees columns by their own names."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    if type(step) is Pipeline:
        yield from encoders(step.steps[0][1], names)
    elif type(step) is ColumnTransformer:
        for _, part, chosen in step.transformers_:
            yield from encoders(part, list(chosen))
    elif hasattr(step, "categories_"):
        yield names, step


def transform(step: Any, columns: list[Any], names: Sequence[str] | None) -> list[Any]:
    """What a fitted transformer makes of the columns."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    if type(step) is Pipeline:
        for _, part in step.steps:
            columns, names = transform(part, columns, names), None
        return columns
    if type(step) is ColumnTransformer:
        if names is None:
            raise NotCompilableError("a ColumnTransformer stands behind another step")
        made: list[Any] = []
        for _, part, chosen in step.transformers_:
            taken = [columns[names.index(name)] for name in chosen]
            if isinstance(part, str) and part == "drop":
                continue
            is_passed = isinstance(part, str) and part == "passthrough"
            made += taken if is_passed else transform(part, taken, list(chosen))
        return made
    for kind, of_kind in _transformers():
        if type(step) is kind:
            return of_kind(step, columns)
    if _is_passed_through(step):
        return columns
    raise not_compilable(step)


def _is_passed_through(step: Any) -> bool:
    from sklearn.preprocessing import FunctionTransformer

    return type(step) is FunctionTransformer and step.func is None


def _transformers() -> list[tuple[type, Callable[[Any, list[Any]], list[Any]]]]:
    from sklearn.feature_selection import SelectPercentile
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

    return [
        (SimpleImputer, _impute),
        (StandardScaler, _scale),
        (OneHotEncoder, _one_hot),
        (OrdinalEncoder, _ordinal),
        (TargetEncoder, _target_means),
        (SelectPercentile, _select),
    ]


def _impute(step: Any, columns: list[Any]) -> list[Any]:
    columns = plain(columns)
    if step.missing_values is not None and not np.isnan(step.missing_values):
        raise NotCompilableError(f"an imputer of {step.missing_values} instead of missing values")
    if any(column.kind != NUMBER or column.centre or column.scale != 1 for column in columns):
        raise NotCompilableError("an imputer of other columns than plain numbers")
    fills = np.asarray(step.statistics_, dtype=np.float64)
    # A column without a single value in training is dropped by scikit-learn.
    kept = [index for index, fill in enumerate(fills) if not np.isnan(fill)]
    if len(kept) < len(columns) and step.keep_empty_features:
        raise NotCompilableError("an imputer that keeps empty columns")
    made = [replace(columns[index], fill=float(fills[index])) for index in kept]
    if step.add_indicator:
        made += [Column(MISSING, columns[index].source) for index in step.indicator_.features_]
    return made


def _scale(step: Any, columns: list[Any]) -> list[Any]:
    columns = plain(columns)
    centres = step.mean_ if step.with_mean else np.zeros(len(columns))
    scales = step.scale_ if step.with_std else np.ones(len(columns))
    made = []
    for column, centre, scale in zip(columns, centres, scales, strict=True):
        if column.kind == TABLE:
            values = (np.asarray(column.values) - centre) / scale
            made.append(replace(column, values=values))
        elif column.centre or column.scale != 1:
            raise NotCompilableError("a column that is scaled twice")
        else:
            made.append(replace(column, centre=float(centre), scale=float(scale)))
    return made


def _one_hot(step: Any, columns: list[Any]) -> list[Any]:
    if step.handle_unknown != "ignore" or step.min_frequency or step.max_categories:
        raise NotCompilableError("a OneHotEncoder that merges or refuses categories")
    made = []
    for index, (column, seen) in enumerate(zip(columns, step.categories_, strict=True)):
        category = _category(column)
        dropped = None if step.drop_idx_ is None else step.drop_idx_[index]
        for position in range(len(seen)):
            if position == dropped:
                continue
            values = _table(category, seen, np.arange(len(seen)) == position, 0.0, 0.0)
            made.append(Column(TABLE, category.source, values=values))
    return made


def _ordinal(step: Any, columns: list[Any]) -> list[Any]:
    if step.handle_unknown != "use_encoded_value" or step.min_frequency or step.max_categories:
        raise NotCompilableError("an OrdinalEncoder that merges or refuses categories")
    unknown, missing = float(step.unknown_value), float(step.encoded_missing_value)
    made = []
    for column, seen in zip(columns, step.categories_, strict=True):
        category = _category(column)
        # The encoder keeps a missing value as the last category, with a code of its own.
        has_missing = bool(len(seen)) and not isinstance(seen[-1], str)
        values = _table(
            category, seen, np.arange(len(seen)), unknown, missing if has_missing else unknown
        )
        if has_missing:
            values[-1] = missing
        made.append(Column(TABLE, category.source, values=values))
    return made


def _target_means(step: Any, columns: list[Any]) -> list[Any]:
    """A column a feature, or one a feature and class."""
    means = np.atleast_1d(np.asarray(step.target_mean_, dtype=np.float64))
    made = []
    for index, encodings in enumerate(step.encodings_):
        feature, target = divmod(index, len(means))
        category = _category(columns[feature])
        overall = float(means[target])
        values = _table(
            category, step.categories_[feature], np.asarray(encodings), overall, overall
        )
        made.append(Column(TABLE, category.source, values=values))
    return made


def _select(step: Any, columns: list[Any]) -> list[Any]:
    return [columns[index] for index in np.flatnonzero(step.get_support())]


def _table(
    category: Category, seen: Any, encoded: np.ndarray, unknown: float, missing: float
) -> np.ndarray:
    """The values of a category's codes, from those of the encoder's own list."""
    by_value = {
        value if isinstance(value, str) else None: float(code)
        for value, code in zip(seen, encoded, strict=True)
    }
    values = [by_value.get(value, unknown) for value in category.known]
    return np.array([*values, unknown, by_value.get(None, missing)])


def _category(column: Any) -> Category:
    if not isinstance(column, Category):
        raise NotCompilableError("an encoder of categories behind another encoder")
    return column


def plain(columns: list[Any]) -> list[Column]:
    """The columns, once none of them is a category any more."""
    if any(isinstance(column, Category) for column in columns):
        raise NotCompilableError("categories that no encoder turns into numbers")
    return columns


def encoder_arrays(columns: Sequence[Column]) -> Encoder:
    """The columns as arrays; equal tables are stored once."""
    offsets: dict[bytes, int] = {}
    table: list[np.ndarray] = []
    size = 0
    offset = []
    for column in columns:
        if column.values is None:
            offset.append(0)
            continue
        values = np.asarray(column.values, dtype=np.float64)
        key = values.tobytes()
        if key not in offsets:
            offsets[key] = size
            table.append(values)
            size += len(values)
        offset.append(offsets[key])

    def numbers(name: str) -> np.ndarray:
        return np.array([getattr(column, name) for column in columns], dtype=np.float64)

    return Encoder(
        kind=np.array([column.kind for column in columns], dtype=np.uint8),
        source=np.array([column.source for column in columns], dtype=np.int32),
        fill=numbers("fill"),
        centre=numbers("centre"),
        scale=numbers("scale"),
        offset=np.array(offset, dtype=np.int32),
        table=np.concatenate([np.empty(0), *table]),
    )


def make_form(
    columns: Sequence[Column], model: Trees | Weights, bias: Any, link: Link, divisor: float = 1.0
) -> CompiledForm:
    """A form over these columns; whoever calls adds names, categories and classes."""
    if len(columns) > MOST_COLUMNS:
        raise NotCompilableError(
            f"{len(columns)} columns; the compiled form has up to {MOST_COLUMNS}"
        )
    start = np.atleast_1d(np.asarray(bias, dtype=np.float64)).ravel()
    return CompiledForm((), {}, encoder_arrays(columns), model, start, divisor, link, ())
