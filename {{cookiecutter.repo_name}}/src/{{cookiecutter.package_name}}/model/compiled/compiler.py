"""From a fitted scikit-learn pipeline to the compiled form.

What can be compiled is listed by type. Anything else is refused with its name, and then the
pipeline itself serves; a part that is only similar is never guessed at.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...contract import Contract
from .form import (
    CATEGORY,
    MISSING,
    NAN_RIGHT,
    NODE,
    NUMBER,
    TABLE,
    CompiledForm,
    CompiledFormError,
    Encoder,
    Link,
    Trees,
    Weights,
    check_form,
)

MOST_COLUMNS = (1 << 15) - 1
"""A node names its column in 16 bits."""


class NotCompilableError(CompiledFormError):
    """The pipeline holds a part that has no compiled form."""


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
class _Category:
    """A category column before it is encoded."""

    source: int
    known: tuple[str, ...]


def compile_pipeline(pipeline: Any, contract: Contract) -> CompiledForm:
    """Compile a fitted pipeline.

    Args:
        pipeline: A scikit-learn `Pipeline` over `model_frame`'s columns.
        contract: The contract that it was trained with.

    Raises:
        NotCompilableError: Names the part that has no compiled form.
    """
    from sklearn.pipeline import Pipeline

    if type(pipeline) is not Pipeline:
        raise _not_compilable(pipeline)
    names = contract.feature_names
    numbers = tuple(contract.numeric_features)
    known = _known_values(pipeline, contract)
    places: list[Column | _Category] = []
    for name in names:
        if name in known:
            places.append(_Category(list(known).index(name), known[name]))
        else:
            places.append(Column(NUMBER, numbers.index(name)))
    columns: list[Any] = list(places)
    at_names: Sequence[str] | None = names
    for _, step in pipeline.steps[:-1]:
        columns, at_names = _transform(step, columns, at_names), None
    model = pipeline.steps[-1][1]
    for kind, compile_model in _models():
        if type(model) is kind:
            form = compile_model(model, _plain(columns))
            break
    else:
        raise _not_compilable(model)
    whole = replace(form, numbers=numbers, categories=known, classes=_classes(model, contract))
    check_form(whole)
    return whole


def _classes(model: Any, contract: Contract) -> tuple[str, ...]:
    if contract.problem == "regression":
        return ()
    return tuple(str(label) for label in model.classes_)


def _known_values(pipeline: Any, contract: Contract) -> dict[str, tuple[str, ...]]:
    """The category features' values: the contract's, and what the encoders saw beside them."""
    seen: dict[str, set[str]] = {name: set() for name in contract.category_features}
    for feature in contract.features:
        if feature.name in seen and feature.categories:
            seen[feature.name] |= set(feature.categories)
    for names, encoder in _encoders(pipeline, contract.feature_names):
        for name, values in zip(names, encoder.categories_, strict=True):
            seen[name] |= {value for value in values if isinstance(value, str)}
    return {name: tuple(sorted(values)) for name, values in seen.items()}


def _encoders(step: Any, names: Sequence[str]) -> Iterator[tuple[Sequence[str], Any]]:
    """Every encoder of categories that sees columns by their own names."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    if type(step) is Pipeline:
        yield from _encoders(step.steps[0][1], names)
    elif type(step) is ColumnTransformer:
        for _, part, chosen in step.transformers_:
            yield from _encoders(part, list(chosen))
    elif hasattr(step, "categories_"):
        yield names, step


def _transform(step: Any, columns: list[Any], names: Sequence[str] | None) -> list[Any]:
    """What a fitted transformer makes of the columns."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    if type(step) is Pipeline:
        for _, part in step.steps:
            columns, names = _transform(part, columns, names), None
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
            made += taken if is_passed else _transform(part, taken, list(chosen))
        return made
    for kind, transform in _transformers():
        if type(step) is kind:
            return transform(step, columns)
    if _is_passed_through(step):
        return columns
    raise _not_compilable(step)


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
    columns = _plain(columns)
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
    columns = _plain(columns)
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
    category: _Category, seen: Any, encoded: np.ndarray, unknown: float, missing: float
) -> np.ndarray:
    """The values of a category's codes, from those of the encoder's own list."""
    by_value = {
        value if isinstance(value, str) else None: float(code)
        for value, code in zip(seen, encoded, strict=True)
    }
    values = [by_value.get(value, unknown) for value in category.known]
    return np.array([*values, unknown, by_value.get(None, missing)])


def _category(column: Any) -> _Category:
    if not isinstance(column, _Category):
        raise NotCompilableError("an encoder of categories behind another encoder")
    return column


def _plain(columns: list[Any]) -> list[Column]:
    if any(isinstance(column, _Category) for column in columns):
        raise NotCompilableError("categories that no encoder turns into numbers")
    return columns


def _encoder(columns: Sequence[Column]) -> Encoder:
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


def _form(
    columns: Sequence[Column], model: Trees | Weights, bias: Any, link: Link, divisor: float = 1.0
) -> CompiledForm:
    if len(columns) > MOST_COLUMNS:
        raise NotCompilableError(
            f"{len(columns)} columns; the compiled form has up to {MOST_COLUMNS}"
        )
    start = np.atleast_1d(np.asarray(bias, dtype=np.float64)).ravel()
    return CompiledForm((), {}, _encoder(columns), model, start, divisor, link, ())


def _models() -> list[tuple[type, Callable[[Any, list[Column]], CompiledForm]]]:
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.linear_model import LogisticRegression, Ridge

    return [
        (HistGradientBoostingClassifier, _boosting),
        (HistGradientBoostingRegressor, _boosting),
        (RandomForestClassifier, _forest),
        (RandomForestRegressor, _forest),
        (LogisticRegression, _logistic),
        (Ridge, _ridge),
    ]


def _logistic(model: Any, columns: list[Column]) -> CompiledForm:
    weights = np.ascontiguousarray(model.coef_, dtype=np.float64)
    link: Link = "logistic" if len(weights) == 1 else "softmax"
    return _form(columns, Weights(weights), model.intercept_, link)


def _ridge(model: Any, columns: list[Column]) -> CompiledForm:
    weights = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    return _form(columns, Weights(np.ascontiguousarray(weights)), model.intercept_, "identity")


def _boosting(model: Any, columns: list[Column]) -> CompiledForm:
    from sklearn.ensemble import HistGradientBoostingClassifier

    columns, known = _boosting_columns(model, columns)
    grower = _Grower()
    for iteration in model._predictors:
        for target, predictor in enumerate(iteration):
            grower.add_histogram_tree(predictor, target, known)
    margins = len(model._predictors[0]) if model._predictors else 1
    if type(model) is HistGradientBoostingClassifier:
        link: Link = "logistic" if margins == 1 else "softmax"
    else:
        link = (
            "identity"
            if model.loss in ("squared_error", "absolute_error", "quantile")
            else "exponential"
        )
    return _form(columns, grower.trees(margins), model._baseline_prediction, link)


def _boosting_columns(model: Any, columns: list[Column]) -> tuple[list[Column], dict[int, int]]:
    """The columns in the order of the trees, and how many codes each category column has.

    scikit-learn puts category columns first and encodes them again, by the codes that it saw.
    """
    if model.is_categorical_ is None:
        return columns, {}
    first = np.flatnonzero(model.is_categorical_)
    inner = model._preprocessor.named_transformers_["encoder"]
    made: list[Column] = []
    known: dict[int, int] = {}
    for position, index in enumerate(first):
        column = columns[index]
        if column.values is None:
            raise NotCompilableError("a category column that is a number in the rows")
        seen = [value for value in inner.categories_[position] if not np.isnan(value)]
        codes = {float(value): code for code, value in enumerate(seen)}
        unknown = len(seen)  # unknown and missing are the same to the trees
        values = [codes.get(float(value), unknown) for value in column.values]
        made.append(replace(column, values=np.array(values, dtype=np.float64)))
        known[position] = len(seen)
    rest = [column for index, column in enumerate(columns) if index not in set(first.tolist())]
    return [*made, *rest], known


def _forest(model: Any, columns: list[Column]) -> CompiledForm:
    is_classifier = hasattr(model, "classes_")
    grower = _Grower()
    for member in model.estimators_:
        grower.add_tree(member.tree_, is_classifier=is_classifier)
    margins = len(model.classes_) if is_classifier else 1
    trees = replace(grower.trees(margins), single=True)
    return _form(columns, trees, np.zeros(margins), "identity", float(len(model.estimators_)))


class _Grower:
    """Collects nodes: children side by side, and behind their parent."""

    def __init__(self) -> None:
        self._nodes: list[tuple[float, int, int, int]] = []
        self._leaves: list[np.ndarray] = []
        self._roots: list[int] = []
        self._targets: list[int] = []
        self._bits: list[int] = []

    def add_histogram_tree(self, predictor: Any, target: int, known: dict[int, int]) -> None:
        """A tree of scikit-learn's histogram gradient boosting."""
        nodes = predictor.nodes

        def split(at: int) -> tuple[float, int, int, int, int]:
            node = nodes[at]
            column, goes_left = int(node["feature_idx"]), bool(node["missing_go_to_left"])
            children = int(node["left"]), int(node["right"])
            if not node["is_categorical"]:
                flags = 0 if goes_left else NAN_RIGHT
                return float(node["num_threshold"]), column, flags, *children
            words = predictor.raw_left_cat_bitsets[int(node["bitset_idx"])]
            left = sum(int(word) << (32 * index) for index, word in enumerate(words))
            left &= (1 << known[column]) - 1
            left |= int(goes_left) << known[column]
            return float(self._add_bits(left, known[column] + 1)), column, CATEGORY, *children

        self._add(
            target,
            lambda at: None if nodes[at]["is_leaf"] else split(at),
            lambda at: np.array([nodes[at]["value"]], dtype=np.float64),
        )

    def add_tree(self, tree: Any, *, is_classifier: bool) -> None:
        """A tree of scikit-learn's forests."""
        left, right = tree.children_left, tree.children_right
        goes_left = tree.missing_go_to_left

        def split(at: int) -> tuple[float, int, int, int, int] | None:
            if left[at] == right[at]:
                return None
            flags = 0 if goes_left[at] else NAN_RIGHT
            threshold, column = float(tree.threshold[at]), int(tree.feature[at])
            return threshold, column, flags, int(left[at]), int(right[at])

        def leaf(at: int) -> np.ndarray:
            values = np.asarray(tree.value[at][0], dtype=np.float64)
            return values / values.sum() if is_classifier else values

        self._add(0, split, leaf)

    def trees(self, margins: int) -> Trees:
        """Everything that was added."""
        width = len(self._leaves[0]) if self._leaves else 1
        if width not in (1, margins):
            raise NotCompilableError(f"leaves of {width} values for {margins} outputs")
        return Trees(
            nodes=np.array(self._nodes, dtype=NODE),
            roots=np.array(self._roots, dtype=np.int32),
            targets=np.array(self._targets, dtype=np.int32),
            leaves=np.array(self._leaves, dtype=np.float64).reshape(len(self._nodes), width),
            bits=np.array(self._bits, dtype=np.uint64),
        )

    def _add_bits(self, members: int, size: int) -> int:
        start = len(self._bits)
        for word in range((size + 63) // 64):
            self._bits.append((members >> (64 * word)) & (2**64 - 1))
        return start

    def _add(
        self,
        target: int,
        split: Callable[[int], tuple[float, int, int, int, int] | None],
        leaf: Callable[[int], np.ndarray],
    ) -> None:
        root = len(self._nodes)
        self._roots.append(root)
        self._targets.append(target)
        waiting = [(0, root)]
        width = 0
        self._nodes.append((0.0, 0, 0, 0))
        self._leaves.append(np.empty(0))
        for source, place in waiting:  # grows while it is walked: breadth first
            found = split(source)
            if found is None:
                values = leaf(source)
                width = len(values)
                self._nodes[place] = (np.inf, place, 0, 0)
                self._leaves[place] = values
                continue
            threshold, column, flags, left, right = found
            first = len(self._nodes)
            self._nodes[place] = (threshold, first, column, flags)
            self._nodes += [(0.0, 0, 0, 0)] * 2
            self._leaves += [np.empty(0)] * 2
            waiting += [(left, first), (right, first + 1)]
        for place in range(root, len(self._nodes)):
            if not len(self._leaves[place]):
                self._leaves[place] = np.zeros(width)


def _not_compilable(part: Any) -> NotCompilableError:
    name = f"{type(part).__module__.partition('.')[0]}'s {type(part).__name__}"
    return NotCompilableError(f"{name} has no compiled form", "the pipeline itself serves")
