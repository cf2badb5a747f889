"""A domain says what a value may be: in numbers, in words and by example."""

import doctest
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import goldpath.domain
from goldpath.contract import Contract, Feature
from goldpath.domain import (
    LARGEST_INTEGER,
    Domain,
    DomainError,
    Refusal,
    above,
    number_text,
)
from goldpath.serving.schemas import example_features

finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"kind": "boolean", "minimum": 0.0}, "for numbers, not for boolean"),
        ({"kind": "category", "maximum": 1.0}, "for numbers, not for category"),
        ({"kind": "number", "minimum": 2.0, "maximum": 1.0}, r"minimum 2\.0 is above maximum 1\.0"),
        ({"kind": "number", "minimum": float("nan")}, "minimum nan is not finite; leave it out"),
        ({"kind": "integer", "maximum": float("inf")}, "maximum inf is not finite; leave it out"),
        ({"kind": "integer", "minimum": 1.2, "maximum": 1.8}, "no whole number"),
        ({"kind": "integer", "minimum": 2.0**53}, "no whole number that a float64 holds"),
        ({"kind": "number", "categories": ("a",)}, "categories are for type category"),
        ({"kind": "category", "categories": ()}, "leave it out for an open set"),
        ({"kind": "category", "categories": ("a", " b")}, "' b', since values are trimmed; write"),
        ({"kind": "category", "categories": ("a\0",)}, "no database can compare"),
        ({"kind": "category", "categories": ("\ud800",)}, "no database can compare"),
    ],
)
def test_a_domain_that_no_value_can_be_in_is_refused(limits: dict[str, Any], expected: str) -> None:
    with pytest.raises(DomainError, match=expected):
        Domain(**limits)


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (Domain("integer", minimum=18, maximum=110), "a whole number from 18 to 110"),
        (Domain("integer", True, maximum=1_234_567), "a whole number of 1234567 or less, or null"),
        (Domain("number", minimum=0.1), "a finite number of 0.1 or more"),
        (Domain("boolean", nullable=True), "true or false, or null"),
        (Domain("category"), "a text of 1 to 200 characters"),
        (Domain("category", categories=("a", "b c")), 'one of "a", "b c"'),
        (
            Domain("category", categories=tuple(f"{n}" for n in range(23))),
            "one of " + ", ".join(f'"{n}"' for n in range(20)) + " and 3 more",
        ),
    ],
)
def test_a_domain_is_described_in_words(domain: Domain, expected: str) -> None:
    assert domain.describe() == expected


@given(finite)
def test_a_bound_is_written_with_all_of_its_digits(bound: float) -> None:
    assert float(number_text(bound)) == bound
    assert above(bound) == f"is above {number_text(bound)}"
    assert not number_text(bound).endswith(".0")


@given(st.one_of(st.none(), finite), st.one_of(st.none(), finite))
def test_both_limits_of_integers_are_allowed(minimum: float | None, maximum: float | None) -> None:
    try:
        domain = Domain("integer", minimum=minimum, maximum=maximum)
    except DomainError:
        assume(False)
    low, high = domain.integer_range
    assert list(domain.limits) == [low, high]
    assert (domain.accept(low), domain.accept(high)) == (low, high)
    assert isinstance(domain.accept(low - 1), Refusal)
    assert isinstance(domain.accept(high + 1), Refusal)
    assert -LARGEST_INTEGER <= low <= high <= LARGEST_INTEGER


@given(
    st.sampled_from(["number", "integer"]),
    st.one_of(st.none(), finite, st.floats(-3, 3)),
    st.one_of(st.none(), finite, st.floats(-3, 3)),
)
def test_the_documented_example_is_allowed(
    kind: str, minimum: float | None, maximum: float | None
) -> None:
    try:
        feature = Feature(name="x", type=kind, minimum=minimum, maximum=maximum)
    except ValueError:
        assume(False)
    contract = Contract.model_validate(
        {
            "dataset": "one",
            "problem": "regression",
            "source": {"path": "rows.csv"},
            "target": {"column": "y"},
            "features": [feature.model_dump()],
        }
    )
    example = example_features(contract)["x"]
    assert feature.domain.accept(example) == example


def test_the_examples_in_the_docstrings_hold() -> None:
    done = doctest.testmod(goldpath.domain)
    assert done.attempted
    assert not done.failed
