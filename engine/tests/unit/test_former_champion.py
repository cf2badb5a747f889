"""Which version a rollback brings back."""

from types import SimpleNamespace
from typing import Any

import pytest

from goldpath.jobs.promotion.rollback import ROLLED_BACK, former_champion

PROMOTED = "promoted"


def moves(*each: tuple[str | None, str, str]) -> Any:
    return [SimpleNamespace(before=b, after=a, action=action) for b, a, action in each]


@pytest.mark.parametrize(
    ("rest", "champion", "there", "expected"),
    [
        ((), "2", {"1", "2"}, "1"),
        ((("2", "3", PROMOTED), ("3", "2", ROLLED_BACK)), "2", {"1", "2", "3"}, "1"),
        ((("2", "3", PROMOTED),), "3", {"1", "3"}, "1"),
        ((("2", "1", PROMOTED), ("1", "2", PROMOTED)), "2", {"1", "2"}, "1"),
        ((), "1", {"1", "2"}, None),
        ((), "2", {"2"}, None),
    ],
)
def test_the_champion_before_its_own_promotion_comes_back(
    rest: tuple[tuple[str, str, str], ...], champion: str, there: set[str], expected: str | None
) -> None:
    first = ((None, "1", PROMOTED), ("1", "2", PROMOTED))
    assert former_champion(moves(*first, *rest), champion, there) == expected
