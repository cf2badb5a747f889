"""How the rows of a segmentation are encoded, and the pipeline that tells their segments."""

from typing import TYPE_CHECKING

from goldpath.learning.columns import Columns
from goldpath.learning.family import Family, Trial, family
from goldpath.settings.training import MOST_SEGMENTS

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

FAMILY = "segments"
RAREST = 0.01
MOST_CATEGORIES = 20


@family(name=FAMILY, defaults={"clusters": 2})
def segments(trial: Trial, columns: Columns) -> "Pipeline":
    """k-means on scaled numbers and one-hot categories."""
    return _pipeline(trial, columns, (2, MOST_SEGMENTS))


def segments_within(clusters: tuple[int, int]) -> Family:
    """The family with the fewest and the most segments of `training.clusters`."""

    def segments_of_settings(trial: Trial, columns: Columns) -> "Pipeline":
        return _pipeline(trial, columns, clusters)

    return family(name=FAMILY, defaults={"clusters": clusters[0]})(segments_of_settings)


def _pipeline(trial: Trial, columns: Columns, clusters: tuple[int, int]) -> "Pipeline":
    from sklearn.pipeline import Pipeline

    from goldpath.learning.segments.model import SegmentModel

    labels = trial.suggest_categorical("labels", [()])
    model = SegmentModel(trial.suggest_int("clusters", *clusters), columns.seed, tuple(labels))
    return Pipeline([("columns", encoded(columns)), ("model", model)])


def encoded(columns: Columns) -> "ColumnTransformer":
    """Columns that weigh alike: two random rows are as far apart in each, at most.

    A number is scaled to variance 1, so that the expected squared distance of two rows is 2; so is
    that of two different values of a one-hot category, or of a yes and a no, which stand there
    twice. A missing number is the median, a missing yes or no the more frequent one, and a missing
    category a value of its own, or none where the contract lists the values. Of other categories
    those that fewer than 1 % of the rows have, and those beyond the 20 most frequent ones, count as
    one.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    contract = columns.contract
    flags = [each.name for each in contract.features if each.type == "boolean"]
    numbers = [name for name in contract.numeric_features if name not in flags]
    merged = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=RAREST, max_categories=MOST_CATEGORIES
    )
    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    parts = [
        ("numbers", make_pipeline(filled, StandardScaler()), numbers),
        ("flags", filled, flags),
        ("flags_again", filled, flags),
        ("categories", OneHotEncoder(handle_unknown="ignore"), columns.closed_categories),
        ("open_categories", merged, columns.open_categories),
    ]
    return ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0)
