"""The contract's features as a family of models sees them: their kinds, and encoders for them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.contract import Contract, Problem
from goldpath.learning.text.sizes import USUAL_SIZES, TextSizes

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer

MOST_CATEGORIES = 255
"""scikit-learn's histogram gradient boosting takes no more categories in a column."""


@dataclass(frozen=True)
class Columns:
    """The features of a contract, and transformers for them.

    Attributes:
        contract: The contract.
        seed: For whatever is random in an estimator.
        text_sizes: How much is seen of free texts.

    Example:
        >>> from pathlib import Path
        >>> from goldpath import Columns, load_contract
        >>> columns = Columns(load_contract(Path.cwd()), seed=7)
        >>> columns.numbers[:3]
        ['tenure_months', 'monthly_charges', 'usage_hours']
        >>> columns.closed_categories
        ['contract', 'payment_method', 'internet_service', 'region']
        >>> [name for name, _, _ in columns.encoded().transformers]
        ['numbers', 'categories']
    """

    contract: Contract
    seed: int
    text_sizes: TextSizes = USUAL_SIZES

    @property
    def problem(self) -> Problem:
        """Classification or regression."""
        return self.contract.problem

    @property
    def is_classification(self) -> bool:
        """Whether the target is a class."""
        return self.contract.problem == "classification"

    @property
    def numbers(self) -> list[str]:
        """Features that are numbers; a boolean is 0 or 1."""
        return self.contract.numeric_features

    @property
    def closed_categories(self) -> list[str]:
        """Category features whose values the contract lists, few enough for one code each."""
        return [
            feature.name
            for feature in self.contract.features
            if feature.categories is not None and len(feature.categories) < MOST_CATEGORIES
        ]

    @property
    def open_categories(self) -> list[str]:
        """The other category features."""
        closed = set(self.closed_categories)
        return [name for name in self.contract.category_features if name not in closed]

    @property
    def texts(self) -> list[str]:
        """Features that are free text."""
        return self.contract.text_features

    def transformed(self, *, numbers: Any, categories: Any) -> "ColumnTransformer":
        """A transformer of all features: numbers, closed categories, open ones, free texts.

        Open categories are replaced by what the target was for them (cross-fitted inside
        `fit_transform`, so a row's own target does not leak into its code) and scaled. So are the
        numbers that stand for each text: see `learning.text.vectors`.

        Args:
            numbers: A transformer, or `"passthrough"`.
            categories: A transformer of closed categories.
        """
        from sklearn.compose import ColumnTransformer
        from sklearn.model_selection import KFold, StratifiedKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler, TargetEncoder

        parts: list[tuple[str, Any, list[str]]] = []
        if self.numbers:
            parts.append(("numbers", numbers, self.numbers))
        if closed := self.closed_categories:
            parts.append(("categories", categories, closed))
        if opened := self.open_categories:
            folds = StratifiedKFold if self.is_classification else KFold
            encoder = TargetEncoder(cv=folds(5, shuffle=True, random_state=self.seed))
            parts.append(("open_categories", make_pipeline(encoder, StandardScaler()), opened))
        if self.texts:
            from goldpath.learning.text.vectors import TextVectors

            sizes = self.text_sizes
            for number, name in enumerate(self.texts, start=1):
                vectors = TextVectors(sizes.terms, sizes.axes, self.seed)
                parts.append((f"text_{number}", make_pipeline(vectors, StandardScaler()), [name]))
        return ColumnTransformer(parts, sparse_threshold=0)

    def coded(self) -> "ColumnTransformer":
        """For trees: numbers as they are, one code for each closed category, gaps as NaN."""
        from sklearn.preprocessing import OrdinalEncoder

        encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan
        )
        return self.transformed(numbers="passthrough", categories=encoder)

    @property
    def coded_categories(self) -> list[int] | None:
        """Where `coded` puts the closed categories' codes; None where there are none."""
        first = len(self.numbers)
        return list(range(first, first + len(self.closed_categories))) or None

    def encoded(self) -> "ColumnTransformer":
        """For linear models and forests: numbers filled and scaled, categories one-hot."""
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        numbers = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True), StandardScaler()
        )
        return self.transformed(numbers=numbers, categories=OneHotEncoder(handle_unknown="ignore"))
