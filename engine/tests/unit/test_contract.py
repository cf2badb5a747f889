"""The contract says what it means, and refuses what cannot hold."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from goldpath.contract import (
    Contract,
    ContractError,
    dump_contract,
    load_contract,
    parse_contract,
)
from goldpath.jobs.data.adoption import dataset_name
from goldpath.settings import Settings


def values(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "dataset": "shop",
        "problem": "classification",
        "source": {"path": "data/shop.csv"},
        "entity": "id",
        "target": {"column": "bought", "classes": ["no", "yes"]},
        "features": [{"name": "age", "type": "integer"}, {"name": "city", "type": "category"}],
    }
    return {**base, **changes}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dataset": "My Shop"}, "dataset"),
        ({"problem": "ranking"}, "problem"),
        ({"features": []}, "features"),
        ({"features": [{"name": "bought", "type": "integer"}]}, "is among the features"),
        ({"features": [{"name": "id", "type": "integer"}]}, "is among the features"),
        ({"features": [{"name": "a", "type": "number"}] * 2}, "named twice: a"),
        ({"features": [{"name": "_a", "type": "number"}]}, "reserved names"),
        ({"features": [{"name": "a", "type": "category", "minimum": 1}]}, "are for numbers"),
        ({"features": [{"name": "a", "type": "number", "minimum": 2, "maximum": 1}]}, "is above"),
        ({"features": [{"name": "a", "type": "number", "categories": ["x"]}]}, "type category"),
        ({"features": [{"name": "a", "type": "category", "categories": []}]}, "open set"),
        ({"features": [{"name": "a", "type": "number", "minimum": float("nan")}]}, "not finite"),
        (
            {"features": [{"name": "a", "type": "category", "categories": ["x", " y"]}]},
            "a: no value can be the category ' y'",
        ),
        ({"target": {"column": "bought", "classes": ["yes"]}}, "two classes"),
        ({"target": {"column": "bought", "classes": ["no", "yes "]}}, "target.classes: no value"),
        ({"problem": "regression"}, "no classes"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_contract_that_cannot_hold_is_refused_by_name(
    changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ContractError) as caught:
        parse_contract(yaml.safe_dump(values(**changes)))
    assert expected in str(caught.value)


def test_words_that_yaml_reads_as_true_or_false_are_to_be_quoted() -> None:
    text = yaml.safe_dump(values(), sort_keys=False).replace("'no'", "no")
    line = text.splitlines().index("  - no") + 1
    with pytest.raises(ContractError) as caught:
        parse_contract(text)
    assert f"target.classes.0 (line {line}): Input should be a valid string" in str(caught.value)
    assert "(found False); YAML reads yes, no, on and off as true or false" in str(caught.value)


def test_text_that_is_not_yaml_is_refused() -> None:
    with pytest.raises(ContractError, match="not valid YAML"):
        parse_contract("features: [")


def test_missing_file_says_how_to_get_one(project: Settings) -> None:
    (project.root / "config" / "project.yaml").unlink()
    with pytest.raises(ContractError, match="make adopt"):
        load_contract(project.root)


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=20), st.sampled_from(["number", "category"])),
        min_size=1,
        max_size=6,
        unique_by=lambda pair: pair[0],
    ),
    st.booleans(),
)
def test_contract_survives_being_written_and_read(
    columns: list[tuple[str, str]], nullable: bool
) -> None:
    features = [{"name": name, "type": kind, "nullable": nullable} for name, kind in columns]
    try:
        contract = Contract.model_validate(values(features=features))
    except ValueError:
        return  # a reserved name
    assert parse_contract(dump_contract(contract)) == contract


@given(st.text(max_size=80))
def test_every_text_gives_a_valid_dataset_name(text: str) -> None:
    assert Contract.model_validate(values(dataset=dataset_name(text))).dataset
