"""From linear models to weights."""

from typing import Any

import numpy as np

from goldpath.compiled.compile_columns import Column, make_form
from goldpath.compiled.form import CompiledForm, Link, Weights


def compile_logistic(model: Any, columns: list[Column]) -> CompiledForm:
    """Logistic regression."""
    weights = np.ascontiguousarray(model.coef_, dtype=np.float64)
    link: Link = "logistic" if len(weights) == 1 else "softmax"
    return make_form(columns, Weights(weights), model.intercept_, link)


def compile_ridge(model: Any, columns: list[Column]) -> CompiledForm:
    """Ridge regression, and others whose value is a weighted sum."""
    weights = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    return make_form(columns, Weights(np.ascontiguousarray(weights)), model.intercept_, "identity")
