"""What a person gets wrong in a definition is refused by `check`, with file, line, name and fix."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client import REGISTRY, Counter
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from goldpath import batch, training
from goldpath.contract import ContractError, load_contract
from goldpath.errors import ProjectError
from goldpath.handed_over import handed_over
from goldpath.jobs.own_definitions import check_definitions
from goldpath.judging.gates import gate
from goldpath.judging.validators import BaseValidator
from goldpath.learning.family import family
from goldpath.learning.metric import metric
from goldpath.project import Model, Project, Service
from goldpath.serving.answers.hooks import Hooks
from goldpath.serving.answers.service_metric import service_metric
from goldpath.settings import Settings, SettingsError, load_settings

HERE = rf"{re.escape(Path(__file__).name)}:\d+"
LEARNED = LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])
router = APIRouter()
slashless = APIRouter()


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    """A metric that the project counts by itself, while a test runs."""
    counter = Counter("already_counted", "Of a project's own.")
    yield
    REGISTRY.unregister(counter)


@router.post("/predict")
def mine() -> dict[str, bool]:
    return {}


@slashless.post("call")
def slashless_route() -> dict[str, bool]:
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


def of_an_answer(value: Any, kind: type = str) -> Project:
    def odd(row: Any, prediction: Any) -> Any:
        return value

    odd.__annotations__["return"] = kind
    return Project(answer_fields=lambda: [odd])


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


def of_nothing() -> None:
    pass


def of_two(trial: Any, columns: Any) -> Any:
    return LogisticRegression()


async def of_later(evidence: Any) -> Any:
    return evidence


def of_many(truth: Any) -> Any:
    yield truth


class Judge(BaseValidator):
    pass


def of_a_limit(**options: Any) -> Project:
    @gate(**options)
    def odd(evidence: Any) -> float:
        return 0.3

    return model(gates=[odd])


async def of_a_coroutine() -> Any:
    return []


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
    "a family that is not decorated": (
        lambda: model(families=[one_too_many]),
        f"{ONE_TOO_MANY} among the families is a function",
        "@family(defaults",
    ),
    "a family by its name": (
        lambda: model(families=["boosting"]),
        "'boosting' among the families is a str",
        "config/training.yaml",
    ),
    "a metric that is not decorated": (
        lambda: model(metric=one_too_many),
        f"{ONE_TOO_MANY} among the metrics is a function",
        "@metric",
    ),
    "a metric that is a class": (
        lambda: model(metrics=[metric(Judge)]),  # type: ignore[arg-type]
        f"{HERE}: Judge: a metric cannot be a class",
        "with def",
    ),
    "a metric that yields": (
        lambda: model(metrics=[metric(of_many)]),
        f"{HERE}: of_many: a metric cannot be a generator",
        "return, not yield",
    ),
    "a family that is a lambda": (
        lambda: model(families=[family()(lambda trial, columns: LogisticRegression())]),
        f"{HERE}: <lambda>: a family cannot be a lambda",
        "def NAME",
    ),
    "an async gate": (
        lambda: model(gates=[gate(of_later)]),  # type: ignore[arg-type]
        f"{HERE}: of_later: a gate cannot be an async function",
        "not async def",
    ),
    "a gate whose limit is a text": (
        partial(of_a_limit, at_least="0.5"),
        rf"{HERE}: odd: @gate\(at_least='0.5'\) is no finite number",
        "at_least=0.5",
    ),
    "a gate that nothing passes": (
        partial(of_a_limit, at_least=0.5, at_most=0.1),
        f"{HERE}: odd: @gate has at_least=0.5 above at_most=0.1",
        "exchange them",
    ),
    "a gate whose severity is a text": (
        partial(of_a_limit, severity="LOW"),
        rf"{HERE}: odd: @gate\(severity='LOW'\)",
        "ValidationSeverity.LOW",
    ),
    "a validator that is a class": (
        lambda: model(validators={"regions": Judge}),
        "validator 'regions' is the class Judge",
        "write Judge()",
    ),
    "one family and no list": (
        lambda: model(families=family()(of_two)),
        r"Model\(families=…\) of project.py is a Family, not a list",
        "families=[…]",
    ),
    "features that are not returned": (
        lambda: Project(features=of_nothing),  # type: ignore[arg-type]
        f"{HERE}: of_nothing: the features of project.py is None, not a list",
        "return a list",
    ),
    "features that are awaited": (
        lambda: Project(features=of_a_coroutine),  # type: ignore[arg-type]
        f"{HERE}: of_a_coroutine: the features of project.py is a coroutine, not a list",
        "not async def",
    ),
    "a model that is not returned": (
        lambda: Project(models={"churn": of_nothing}),  # type: ignore[dict-item]
        f"{HERE}: of_nothing: the model of project.py is None, not a Model",
        "return Model(…)",
    ),
    "hooks that are a list": (
        lambda: Project(hooks=list),  # type: ignore[arg-type]
        "the hooks of project.py is a list, not Hooks",
        "return Hooks(…)",
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
    "tags of two parameters": (
        lambda: model(tags=one_too_many),
        rf"{ONE_TOO_MANY} cannot be Model\(tags=…\)",
        "one parameter",
    ),
    "compared rows that are awaited": (
        lambda: model(compared=of_later),
        rf"{HERE}: of_later: Model\(compared=…\) cannot be an async function",
        "not async def",
    ),
    "a router and no list": (
        lambda: Project(service=lambda: Service(routers=router)),  # type: ignore[arg-type]
        r"Service\(routers=…\) of project.py is a APIRouter, not a list",
        "routers=[api.router]",
    ),
    "an app as a router": (
        lambda: Project(service=lambda: Service(routers=[FastAPI()])),  # type: ignore[list-item]
        "which is a FastAPI and no APIRouter",
        "routers=[api.router]",
    ),
    "a path without a slash": (
        lambda: Project(service=lambda: Service(routers=[slashless])),
        f"{HERE}: slashless_route has the path 'call', which no request can ask for",
        '"/call"',
    ),
    "an async training step": (
        lambda: model(training=(*ORDER[1:3], of_later, ORDER[0], *ORDER[3:])),
        rf"{HERE}: of_later: a step of Model\(training=…\) cannot be an async function",
        "not async def",
    ),
    "an answer field of one parameter": (
        lambda: Project(answer_fields=lambda: [mine]),
        f"{HERE}: mine: an answer field takes a row and its prediction",
        "def NAME",
    ),
    "an answer field of another type": (
        partial(of_an_answer, 3),
        rf"{HERE}: odd: the answer field odd returned a int, not what its type says "
        r"\(Input should be a valid string\)\n",
        "return what its type says, str",
    ),
    "an answer field that is not finite": (
        partial(of_an_answer, float("nan"), float),
        rf"{HERE}: odd: the answer field odd returned nan, which JSON has no number for\n",
        "return what its type says, float",
    ),
    "a hook of two parameters": (
        of_a_hook,
        f"{ONE_TOO_MANY}: a hook before an answer takes request, and this one takes first, second",
        "def NAME",
    ),
    "a hook that yields and so never runs": (
        lambda: Project(hooks=lambda: Hooks(before=[of_many])),
        f"{HERE}: of_many: a hook before an answer takes request, and this one is no plain func",
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


@pytest.mark.parametrize(
    ("name", "called"),
    [("age", "Score"), ("customer_id", "Run_ID"), ("region", "training_row")],
)
def test_a_column_that_clashes_with_one_of_the_predictions_table_is_refused(
    name: str, called: str, project: Settings, checked: Callable[[Project], None]
) -> None:
    file = project.root / "config" / "project.yaml"
    checked(Project())
    file.write_text(re.sub(rf"\b{name}\b", called, file.read_text("utf-8")), "utf-8")
    with pytest.raises(
        ContractError, match=f"^the column {called} clashes with {called.lower()}, "
    ) as caught:
        checked(Project())
    assert "rename it in the source and in config/project.yaml" in caught.value.fix


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


def test_a_function_that_was_called_already_is_named_in_the_line_that_hands_it_over() -> None:
    def project_py() -> Project:
        return Project(models={"churn": Model()})  # type: ignore[dict-item]

    with pytest.raises(ProjectError, match=f"{HERE}: Project.* is a Model, not a func") as caught:
        handed_over("Project(…)", project_py)
    line = project_py.__code__.co_firstlineno + 1
    assert f"{Path(__file__).name}:{line}:" in caught.value.message


def test_an_error_that_the_engine_raised_is_named_in_the_line_of_the_project() -> None:
    def model_of_project_py() -> Model:
        return Model(families=[family()(3)])  # type: ignore[arg-type]

    with pytest.raises(ProjectError, match=f"{HERE}: the model of project.py cannot be made"):
        handed_over("the model", model_of_project_py)
