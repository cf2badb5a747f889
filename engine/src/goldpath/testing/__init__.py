"""Tests for a project's own features and recipes.

`assert_feature` tries a row feature on one row, by every evaluator. `tiny_lake` takes a few rows
through bronze, silver and gold. Neither needs pytest, and both are for tests only.
"""

from goldpath.testing.feature_values import RowTestError, assert_feature
from goldpath.testing.tiny_lake import TinyLake, tiny_lake

__all__ = ["RowTestError", "TinyLake", "assert_feature", "tiny_lake"]
