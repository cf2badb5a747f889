"""Current rows get the form of the reference, whatever brought them."""

import pyarrow as pa
import pytest

from goldpath.drift.profile import compare_frames
from goldpath.jobs.drift.check import add_predictions
from goldpath.jobs.drift.current_rows import typed_features

from ..api.examples import PROBLEMS, contract_of, fitted, random_rows

PREDICTION_KINDS = {"binary": "number", "multiclass": "category", "regression": "number"}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_prediction_is_compared_as_what_it_is(problem: str) -> None:
    contract = contract_of(problem)
    reference, current = (
        add_predictions(
            typed_features(random_rows(contract, 300, seed), contract), fitted(problem)
        )[0]
        for seed in (1, 2)
    )

    profiles = {profile.name: profile for profile in compare_frames(reference, current)}

    assert list(profiles) == [*contract.feature_names, "prediction"]
    assert profiles["prediction"].kind == PREDICTION_KINDS[problem]


def test_binary_prediction_is_the_probability_of_the_positive_class() -> None:
    contract = contract_of("binary")
    features = typed_features(random_rows(contract, 50), contract)

    table, scores = add_predictions(features, fitted("binary"))
    predicted = table.column("prediction").to_pylist()

    probabilities = fitted("binary").predict(features).probabilities
    assert probabilities is not None
    assert predicted == pytest.approx(probabilities[:, 1])
    assert predicted == scores.tolist()


def test_logged_rows_get_the_types_of_the_gold_table() -> None:
    """A client may send 1 for true, 5.0 for 5, and leave out what may be missing."""
    row = {"class": 1, "2nd call": 5.0, "model_config": 1, "field_0": "1"}

    table = typed_features([row], contract_of("binary"))

    assert [str(table.schema.field(name).type) for name in row] == [
        "double",
        "int64",
        "bool",
        "string",
    ]
    assert {name: table.column(name)[0].as_py() for name in row} == {
        "class": 1.0,
        "2nd call": 5,
        "model_config": True,
        "field_0": "1",
    }
    assert table.column("self").null_count == 1


def test_no_rows_still_have_every_column() -> None:
    table = typed_features([], contract_of("binary"))

    assert table.num_rows == 0
    assert table.schema.field("copy").type == pa.bool_()
