"""What a step of a project's own may return, and what comes back of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.training.own_result import as_returned, log_values, plain_values

if TYPE_CHECKING:
    from datetime import date


@dataclass(frozen=True)
class Weights:
    rare: float
    rule: str


@dataclass
class Loose:
    rare: float


def mapping(work: object) -> dict[str, float]:
    return {}


def weights(work: object) -> Weights:
    return Weights(2.5, "by class")


def loose(work: object) -> Loose:
    return Loose(1.0)


def silent(work: object):  # type: ignore[no-untyped-def]
    return Weights(1.0, "")


def checked_only(work: "date") -> dict[str, float]:
    return {}


def test_a_mapping_comes_back_as_it_was() -> None:
    returned = {
        "share": np.float64(0.25),
        "rows": np.int64(7),
        "why": "rare",
        "on": True,
        "no": None,
    }
    values = plain_values(mapping, returned)
    assert values == {"share": 0.25, "rows": 7, "why": "rare", "on": True, "no": None}
    assert type(values["rows"]) is int
    assert as_returned(mapping, values) == values


def test_a_dataclass_comes_back_as_itself() -> None:
    values = plain_values(weights, Weights(2.5, "by class"))
    assert values == {"rare": 2.5, "rule": "by class"}
    assert as_returned(weights, values) == Weights(2.5, "by class")


def test_nothing_comes_back_as_nothing() -> None:
    assert plain_values(mapping, None) is None
    assert as_returned(weights, None) is None


def test_annotations_of_type_checkers_only_do_no_harm() -> None:
    assert as_returned(checked_only, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("step", "returned", "message"),
    [
        (mapping, [1, 2], "mapping returned a list"),
        (mapping, {"rows": [1, 2]}, "mapping returned rows as a list"),
        (mapping, {"test_loss": 1.0}, "called test_loss, a name of the engine's own"),
        (mapping, {"run_key": "x"}, "called run_key, a name of the engine's own"),
        (mapping, {"100 %": 1.0}, "a value called '100 %'"),
        (mapping, {3: 1.0}, "a value called 3"),
        (silent, Weights(1.0, ""), "Weights that its return annotation does not name"),
        (loose, Loose(1.0), "a Loose, which can be changed afterwards"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_file_and_line(
    step: Callable[[Any], Any], returned: object, message: str
) -> None:
    with pytest.raises(ProjectDefinitionError, match=rf"test_own_result\.py:\d+: .*{message}"):
        plain_values(step, returned)


def test_a_dataclass_that_has_changed_meanwhile_is_named() -> None:
    with pytest.raises(ProjectDefinitionError, match="what it stored is no Weights any more"):
        as_returned(weights, {"rare": 1.0})


def test_numbers_are_metrics_and_the_rest_are_tags() -> None:
    class Run:
        def log_metrics(self, _: str, values: dict[str, float]) -> None:
            self.metrics = values

        def log_tags(self, _: str, values: dict[str, str]) -> None:
            self.tags = values

    run = Run()
    values = {"share": 0.5, "rows": 7, "on": True, "why": "rare", "no": None, "odd": float("nan")}
    log_values(run, "1", values)  # type: ignore[arg-type]
    assert run.metrics == {"share": 0.5, "rows": 7.0}
    assert run.tags == {"on": "true", "why": "rare", "odd": "nan"}
