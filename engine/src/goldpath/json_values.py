"""Numbers that JSON cannot say."""

import math
from collections.abc import Mapping
from typing import Any


def finite(values: Any) -> Any:
    """The values with None for each number that is not finite, which JSON cannot say.

    A metric can be undefined, such as the area under the ROC curve of rows of one class. That is
    no reason to lose a report, so whatever writes JSON passes its values through here.

    Args:
        values: Mappings, sequences and plain values, to any depth.

    Example:
        >>> from goldpath.json_values import finite
        >>> finite({"roc_auc": float("nan"), "interval": (0.5, float("inf"))})
        {'roc_auc': None, 'interval': [0.5, None]}
    """
    if isinstance(values, Mapping):
        return {key: finite(item) for key, item in values.items()}
    if isinstance(values, list | tuple):
        return [finite(item) for item in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
