"""What a person gets wrong in a definition is refused by `check`, with file, line, name and fix."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from prometheus_client import REGISTRY, Counter
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from goldpath import batch, training
from goldpath.contract import load_contract
from goldpath.errors import ProjectError
from goldpath.jobs.own_definitions import check_definitions
from goldpath.judging.gates import gate
from goldpath.learning.family import family
from goldpath.learning.metric import metric
from goldpath.project import Model, Project, Service
from goldpath.serving.answers.hooks import Hooks
from goldpath.serving.answers.service_metric import service_metric
from goldpath.settings import Settings, SettingsError, load_settings

HERE = rf"{re.escape(Path(__file__).name)}:\d+"
LEARNED = LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])
router = APIRouter()


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    """A metric that the project counts by itself, while a test runs."""
    counter = Counter("already_counted", "Of a project's own.")
    yield
    REGISTRY.unregister(counter)


@router.post("/predict")
def mine() -> dict[str, bool]:
    return {}


def one_too_many(first: Any, second: Any) -> Any:
    return first, second


def model(**parts: Any) -> Project:
    return Project(models={"churn": partial(Model, **parts)})


def of_one_parameter() -> Project:
    def odd(trial: Any) -> Any:
        return LogisticRegression()

    return model(families=[family()(odd)])  # type: ignore[arg-type]


def of_fitted_parts(part: Any) -> Project:
    @family()
    def odd(trial: Any, columns: Any) -> Any:
        return make_pipeline(columns.encoded(), part)

    return model(families=[odd])


def of_colours() -> Project:
    @metric
    def odd(truth: Any, colour: Any) -> float:
        return 0.0

    return model(metrics=[odd])


def of_two_judges() -> Project:
    return model(gates=[gate(one_too_many)])  # type: ignore[arg-type]


def of_a_hook() -> Project:
    return Project(hooks=lambda: Hooks(before=[one_too_many]))  # type: ignore[list-item]


def of_a_plain_function() -> Project:
    return Project(hooks=lambda: Hooks(metrics=[one_too_many]))  # type: ignore[list-item]


def of_a_figure(name: str = "loss", read: str = "monthly_charges", **options: Any) -> Project:
    def odd(row: Any, prediction: Any) -> float:
        return float(row[read])

    def hooks() -> Hooks:
        odd.__name__ = name
        return Hooks(metrics=[service_metric(**options)(odd)])

    return Project(hooks=hooks)


BATCH = (batch.load_rows, one_too_many, batch.score_rows, batch.store_predictions)
ORDER = (
    training.search_and_fit,
    training.extract,
    training.prepare_features,
    training.evaluate_candidate,
    training.register_candidate,
)
ONE_TOO_MANY = rf"{HERE}: one_too_many"

CASES: dict[str, tuple[Callable[[], Project], str, str]] = {
    "a family of one parameter": (of_one_parameter, f"{HERE}: odd: the family takes", "two param"),
    "a family that was fitted before": (
        partial(of_fitted_parts, LEARNED),
        f"{HERE}: odd: the family returns LogisticRegression, which is fitted already",
        "return unfitted estimators",
    ),
    "a family that hides what was fitted": (
        partial(of_fitted_parts, FrozenEstimator(LEARNED)),
        f"{HERE}: odd: the family returns LogisticRegression, which is fitted already",
        "return unfitted estimators",
    ),
    "a metric of what there is not": (
        of_colours,
        f"{HERE}: the metric odd asks for colour",
        "trut",
    ),
    "a gate of two parameters": (of_two_judges, f"{ONE_TOO_MANY}: a gate takes one", "def NAME"),
    "a gate that is not decorated": (
        lambda: model(gates=[one_too_many]),
        f"{ONE_TOO_MANY} among the gates is a function",
        "@gate",
    ),
    "training in another order": (
        lambda: model(training=ORDER),
        r"Model\(training=…\) has the engine's steps in the order search_and_fit",
        "keep their order",
    ),
    "a training step of two parameters": (
        lambda: model(training=(*ORDER[1:3], one_too_many, ORDER[0], *ORDER[3:])),
        f"{ONE_TOO_MANY} cannot be a step of Model",
        "one parameter",
    ),
    "a batch step of two parameters": (
        lambda: model(batch=BATCH),
        f"{ONE_TOO_MANY} cannot be a step of Model",
        "one parameter",
    ),
    "a route of the service's": (
        lambda: Project(service=lambda: Service(routers=[router])),
        f"{HERE}: mine answers POST /predict",
        "another path",
    ),
    "an answer field of one parameter": (
        lambda: Project(answer_fields=lambda: [mine]),
        f"{HERE}: mine: an answer field takes a row and its prediction",
        "def NAME",
    ),
    "a hook of two parameters": (
        of_a_hook,
        f"{ONE_TOO_MANY}: a hook before an answer takes request, and this one takes first, second",
        "def NAME",
    ),
    "a metric of the service that is not decorated": (
        of_a_plain_function,
        f"{ONE_TOO_MANY} among Hooks",
        "@service_metric",
    ),
    "a metric of the service with the engine's name": (
        partial(of_a_figure, "ml_loss"),
        f"{HERE}: ml_loss: a metric of the service cannot be called 'ml_loss'",
        "not after the engine's",
    ),
    "a metric of the service of an unknown kind": (
        partial(of_a_figure, kind="mean"),
        f"{HERE}: loss: the metric loss has the kind 'mean'",
        "histogram, counter, gauge",
    ),
    "a metric of the service of what no request sends": (
        partial(of_a_figure, read="colour"),
        f"{HERE}: loss: the metric loss failed in line .*'colour' is no feature",
        "the features of a request",
    ),
    "a metric of the service that misses a value": (
        partial(of_a_figure, read="satisfaction"),
        f"{HERE}: loss: the metric loss failed in line .* on a row without",
        "the features of a request",
    ),
    "a metric of the service that the project counts by itself": (
        partial(of_a_figure, "already_counted"),
        f"{HERE}: already_counted: the project counts in a metric 'already_counted'",
        "another name",
    ),
}
SETTINGS = {
    "an unknown family": ("TRAINING__FAMILIES", '["forrest"]', "training.families names 'forrest'"),
    "an unknown metric": ("TRAINING__METRIC", "pr_aux", "training.metric='pr_aux' is no metric"),
    "no such decision": ("DECISION__VALUES", '{"tpp": 3}', "Input should be 'tp', 'fp', 'fn'"),
    "a threshold above 1": (
        "DECISION__THRESHOLD",
        "1.5",
        "decision.threshold='?1.5'? .* less than",
    ),
    "a threshold below 0": (
        "DECISION__THRESHOLD",
        "-0.1",
        "decision.threshold='?-0.1'? .* greater",
    ),
    "more than all": ("DECISION__CAPACITY", "2", "decision.capacity='?2'? .* less than"),
    "groups without a threshold": (
        "DECISION__GROUPS",
        '{"column": "region", "criterion": "equal_opportunity"}',
        "groups=.column: region. has no threshold: write tune_for",
    ),
    "tuned for nothing": ("DECISION__TUNE_FOR", "gold", "decision.tune_for='gold' is no metric"),
}


@pytest.fixture
def checked(project: Settings) -> Callable[[Project], None]:
    def check(handed_over: Project) -> None:
        check_definitions(load_settings(project.root, handed_over), load_contract(project.root))

    return check


@pytest.mark.parametrize(("made", "said", "fix"), CASES.values(), ids=CASES)
def test_a_wrong_definition_is_refused_with_its_place_and_what_to_do(
    made: Callable[[], Project], said: str, fix: str, checked: Callable[[Project], None]
) -> None:
    with pytest.raises(ProjectError, match=said) as caught:
        checked(made())
    assert fix in caught.value.fix


@pytest.mark.parametrize(("name", "value", "said"), SETTINGS.values(), ids=SETTINGS)
def test_a_wrong_setting_is_refused_with_its_name_and_what_to_do(
    name: str,
    value: str,
    said: str,
    checked: Callable[[Project], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(f"MLOPS_{name}", value)
    with pytest.raises((ProjectError, SettingsError), match=said) as caught:
        checked(Project())
    assert "config/" in caught.value.fix


def test_groups_that_are_no_feature_are_refused_with_those_there_are(
    project: Settings, checked: Callable[[Project], None]
) -> None:
    text = "threshold: 0.5\ngroups: {column: gender, criterion: equal_opportunity}\n"
    (project.root / "config" / "decision.yaml").write_text(text, "utf-8")
    with pytest.raises(
        ProjectError, match=r"decision\.groups\.column='gender' is no fea"
    ) as caught:
        checked(Project())
    assert caught.value.fix.startswith("name one of contract, payment_method, ")


def test_a_setting_of_a_file_is_refused_with_its_line(project: Settings) -> None:
    file = project.root / "config" / "decision.yaml"
    lines = file.read_text("utf-8").splitlines()
    (place,) = [place for place, line in enumerate(lines) if line.startswith("threshold:")]
    file.write_text("\n".join([*lines[:place], "threshold: 1.5", *lines[place + 1 :]]), "utf-8")
    with pytest.raises(SettingsError, match=rf"=1\.5 \(config/decision\.yaml:{place + 1}\): "):
        load_settings(project.root, Project())


def test_a_metric_needs_no_brackets() -> None:
    @metric
    def right(truth: Any, decided: Any) -> float:
        return float((truth == decided).mean())

    assert (right.name, right.inputs) == ("right", ("truth", "decided"))
