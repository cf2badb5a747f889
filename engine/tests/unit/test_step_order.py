"""A recipe's order: the engine's steps once and in order, a project's own between them."""

import subprocess
import sys
from functools import partial

import pytest

from goldpath import training
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.step_order import Step, checked_steps
from goldpath.jobs.training.stages import STEPS
from goldpath.jobs.training.work import STAGES


def weigh(work: object) -> None: ...


def check(work: object) -> None: ...


def two(work: object, other: object) -> None: ...


def extract(work: object) -> None: ...


def train(work: object) -> None: ...


EXTRACT, FEATURES, SEARCH, EVALUATE, REGISTER = STEPS


def steps_of(*handed_over: Step) -> tuple[Step, ...]:
    return checked_steps(handed_over, STEPS, "training", STAGES)


def test_the_public_module_holds_the_engines_steps() -> None:
    assert (
        training.extract,
        training.prepare_features,
        training.search_and_fit,
        training.evaluate_candidate,
        training.register_candidate,
    ) == STEPS


def test_a_project_that_names_none_gets_the_engines_steps() -> None:
    assert steps_of() == STEPS


def test_own_steps_stand_anywhere() -> None:
    recipe = (weigh, EXTRACT, FEATURES, SEARCH, EVALUATE, REGISTER, check)
    assert steps_of(*recipe) == recipe


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ((EXTRACT, FEATURES, EVALUATE, REGISTER), "lacks the engine's step search_and_fit"),
        ((EXTRACT, *STEPS), "has 2 times the engine's step extract"),
        ((EXTRACT, SEARCH, FEATURES, EVALUATE, REGISTER), "in the order extract, search_and_fit"),
        ((*STEPS, weigh, weigh), r"test_step_order\.py:\d+: weigh: the name .* is taken"),
        ((*STEPS, train), r"test_step_order\.py:\d+: train: the name .* is taken"),
        ((*STEPS, extract), r"test_step_order\.py:\d+: extract: the name .* is taken"),
        ((*STEPS, two), r"test_step_order\.py:\d+: two cannot be a step .*'other'"),
        ((*STEPS, lambda work: None), r"test_step_order\.py:\d+: <lambda>, which is no function"),
        ((*STEPS, partial(weigh)), "which is no function with a name"),
    ],
)
def test_a_recipe_that_cannot_be_followed_says_why(recipe: tuple[Step, ...], message: str) -> None:
    with pytest.raises(ProjectDefinitionError, match=message):
        steps_of(*recipe)


WITHOUT_TRAININGS_LIBRARIES = """
import sys

class Missing:
    names = {"duckdb", "ibis", "matplotlib", "optuna", "pyarrow", "pyiceberg", "scipy", "semver"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from goldpath import TrainingWork, training
print(training.extract.__name__, TrainingWork.__name__)
"""


def test_the_names_need_nothing_that_only_a_training_needs() -> None:
    """A service imports a project's definitions for the types that its models hold."""
    command = [sys.executable, "-c", WITHOUT_TRAININGS_LIBRARIES]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "extract TrainingWork\n"), done.stderr
