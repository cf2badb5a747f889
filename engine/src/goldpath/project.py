"""What a project hands to the engine: its definitions, in one typed object.

A project's `project.py` makes one `Project` and its `__main__.py` runs the command line with it.
The engine never imports a project by name: each process is told once which project it runs, and
a child process starts as `python -m NAME`, so it is told the same way.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from goldpath.errors import ProjectError
from goldpath.handed_over import (
    ProjectDefinitionError,
    handed_hooks,
    handed_list,
    handed_over,
    place_of,
    require_functions,
    require_parts,
)
from goldpath.notebook_access import NotebookAccess

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa
    from fastapi import APIRouter

    from goldpath.features.row.tracing import RowFeature
    from goldpath.features.window.feature import WindowFeature
    from goldpath.judging.gates import Gate
    from goldpath.judging.validators import Validator
    from goldpath.learning.family import Family
    from goldpath.learning.metric import Metric
    from goldpath.serving.answers.hooks import Hooks
    from goldpath.settings import AwsSettings, Section

ENGINE = "goldpath"
"""The name of the project that holds nothing of its own: the engine by itself."""


@contextmanager
def naming(function: Any) -> Iterator[None]:
    """Say which function of the project failed, and in which of its lines.

    Raises:
        ProjectDefinitionError: If the block raised anything but a `ProjectError`, which says
            what to do by itself.
    """
    try:
        yield
    except ProjectError:
        raise
    except Exception as error:
        code, line, trace = getattr(function, "__code__", None), 0, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code is code:
                line = trace.tb_lineno
            trace = trace.tb_next
        where = f" in line {line}" if line else ""
        raise ProjectDefinitionError(
            f"{place_of(function)} failed{where}: {type(error).__name__}: {error}",
            "correct it, and run the command again",
        ) from error


@dataclass(frozen=True)
class Data:
    """How this project's data becomes the table that models learn from.

    Each function takes and returns an Ibis table; what is not given changes nothing. Files that
    are scored or checked for drift pass through `bronze` and `silver` like rows of the lake.

    Attributes:
        bronze: Raw rows as they are stored, every column text. It may drop, rename or add columns,
            but must keep each row.
        silver: Raw rows as the contract reads them. It may change values, but must keep each row
            and the columns that the contract names.
        gold: The rows of silver that models learn from and that the batch scores. It may leave
            rows out, but must keep the columns.
        aws: The names of the AWS resources, made from those of `config/aws_config.yaml` and the
            environment: development, staging or production.

    Example:
        >>> from goldpath import Data, Project
        >>> def silver(rows):
        ...     return rows.mutate(region=rows.region.lower())
        >>> project = Project(name="customer_churn", data=lambda: Data(silver=silver))
        >>> project.recipes.silver is silver
        True
    """

    bronze: "Callable[[ibis.Table], ibis.Table] | None" = None
    silver: "Callable[[ibis.Table], ibis.Table] | None" = None
    gold: "Callable[[ibis.Table], ibis.Table] | None" = None
    aws: "Callable[[AwsSettings, str], AwsSettings] | None" = None


@dataclass(frozen=True)
class Model:
    """How this project's model is found, judged and used.

    Attributes:
        families: Kinds of models that the search chooses from; the engine's own where empty.
        metric: What the search maximises and the gate compares; the problem's usual one (area
            under the ROC curve, R²) where not given.
        metrics: Further metrics, reported beside the main one.
        validators: Checks of the gate beside the built-in ones, by name; one with the name of a
            built-in check takes its place.
        gates: Further checks of the gate: functions with `@gate`.
        training: The steps of a training, in order: the engine's five (`goldpath.training`) and
            functions of one's own `(work: TrainingWork) -> result` between them; the engine's
            alone where empty.
        batch: The steps of a batch inference, in order; the engine's own where empty.
        compared: The rows as the drift check sees them: applied to the reference and to the
            current rows alike. It may drop or change columns, but must keep each row; the model's
            predictions are compared in any case. All columns are compared where it is not given.
        tags: Tags of a training's MLflow run and of the version that it registers, made from the
            training's result: what `reports/training.json` holds, before the version has a number.
        description: What lists of versions show, made from the training's result; the engine's
            own sentence where not given.
        features: Of a further model (`models/NAME`): the features that it learns with; those of
            the project where not given. The main model has `Project(features=…)`.
        answer_fields: Of a further model: the fields of its answers, as `Project(answer_fields=…)`
            has those of the main one.
        hooks: Of a further model: what is done around its answers, as `Project(hooks=…)` has it.

    Example:
        >>> from goldpath import Model, metric
        >>> @metric(unit="share of rows")
        ... def accuracy(truth, decided):
        ...     return (truth == decided).mean()
        >>> churn = Model(metric=accuracy, tags=lambda facts: {"team": "retention"})
        >>> churn.metric.name
        'accuracy'
    """

    families: "Sequence[Family]" = ()
    metric: "Metric | None" = None
    metrics: "Sequence[Metric]" = ()
    validators: "Mapping[str, Validator]" = field(default_factory=dict)
    gates: "Sequence[Gate]" = ()
    training: Sequence[Callable[[Any], Any]] = ()
    batch: Sequence[Callable[[Any], Any]] = ()
    compared: "Callable[[pa.Table], pa.Table] | None" = None
    tags: Callable[[Mapping[str, Any]], Mapping[str, str]] | None = None
    description: Callable[[Mapping[str, Any]], str] | None = None
    features: "Sequence[RowFeature | WindowFeature] | None" = None
    answer_fields: Sequence[Callable[..., Any]] = ()
    hooks: "Hooks | None" = None


def _no_features() -> "Sequence[RowFeature | WindowFeature]":
    return ()


def _no_answer_fields() -> "Sequence[Callable[..., Any]]":
    return ()


def _no_hooks() -> "Hooks | None":
    return None


NO_RECIPES = Data()
"""The recipes of a project that has none."""

ENGINES_OWN = Model()
"""The definitions of a project that has none of its own."""


@dataclass(frozen=True)
class Service:
    """What this project adds to the HTTP service.

    Attributes:
        routers: FastAPI routers; their routes ask for a credential like `/predict` does.

    Example:
        >>> from fastapi import APIRouter
        >>> from goldpath import Service
        >>> router = APIRouter()
        >>> @router.get("/regions")
        ... def regions() -> list[str]:
        ...     return ["north", "south"]
        >>> service = Service(routers=[router])
        >>> [route.path for route in service.routers[0].routes]
        ['/regions']
    """

    routers: "Sequence[APIRouter]" = ()


@dataclass(frozen=True)
class Project(NotebookAccess):
    """A project's table of contents.

    Each part is a function that is called when it is first needed, so that `--help` imports none
    of them and the service imports nothing that only training needs.

    Args:
        name: The package's name: `python -m NAME` runs the project.
        dataset: The `dataset` of the contract that the definitions are written for. With a contract
            of another one, as `adopt` writes it, the engine's own definitions are used, and the
            commands say so. Empty: they are used with every contract.
        data: Makes the data recipes.
        features: Makes the list of row features and window features, in any order: computed in
            the lake, in batches and in the service; the former from what a request sends, the
            latter from the further sources, by entity, as of the row's time.
        models: What makes each model's definitions, by the model's name. A model with a folder
            `models/NAME` is a further one; the one without is the main model.
        service: Makes the service's.
        answer_fields: Makes the list of fields that each answer has beside the engine's: functions
            `(row: Row, prediction: Prediction) -> str`, whose return type is the schema. Apart
            from `service`, since the service answers before the web framework is imported.
        hooks: Makes what is done around each answer: checks before it, functions after it, metrics.
        sections: Sections of the settings of one's own, by name: `config/NAME.yaml`.
        model: The further model whose definitions count; empty: the main one. The engine sets it.

    Example:
        >>> from goldpath import Model, Project
        >>> project = Project(name="customer_churn", models={"churn": lambda: Model()})
        >>> project.definitions.families
        ()
    """

    name: str = ENGINE
    dataset: str = ""
    data: Callable[[], Data] = Data
    features: "Callable[[], Sequence[RowFeature | WindowFeature]]" = _no_features
    models: Mapping[str, Callable[[], Model]] = field(default_factory=dict)
    service: Callable[[], Service] = Service
    answer_fields: "Callable[[], Sequence[Callable[..., Any]]]" = _no_answer_fields
    hooks: "Callable[[], Hooks | None]" = _no_hooks
    sections: "Mapping[str, type[Section]]" = field(default_factory=dict)
    model: str = ""

    def __post_init__(self) -> None:
        require_functions(self)

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets: the functions by name, and nothing that they have made."""
        return {part.name: getattr(self, part.name) for part in fields(self)}

    def suits(self, dataset: str) -> bool:
        """Whether the definitions are written for a contract of this dataset."""
        return not self.dataset or not dataset or self.dataset == dataset

    def for_dataset(self, dataset: str) -> "Project":
        """This project, without its definitions where they are for another dataset."""
        if self.suits(dataset):
            return self
        return Project(
            name=self.name, dataset=self.dataset, sections=self.sections, model=self.model
        )

    def for_model(self, name: str, further: Collection[str]) -> "Project":
        """This project with the definitions of one of its models.

        Args:
            name: A further model, which has the engine's own where `models` does not name it; or
                empty for the main one.
            further: The names of all further models.
        """
        chosen = {
            each: make
            for each, make in self.models.items()
            if each == name or not (name or each in further)
        }
        if len(chosen) == len(self.models) and name == self.model:
            return self
        return replace(self, models=chosen, model=name)

    @cached_property
    def recipes(self) -> Data:
        """The data recipes."""
        return handed_over("data", self.data, Data)

    @cached_property
    def own_features(self) -> "tuple[RowFeature | WindowFeature, ...]":
        """The row features and the window features."""
        if self.model and (own := self.definitions.features) is not None:
            return tuple(own)
        return handed_list("the features", self.features)

    @property
    def row_features(self) -> "tuple[RowFeature, ...]":
        """The row features."""
        # Told apart without the rooms above, which nobody imports who has no features.
        return tuple(each for each in self.own_features if not hasattr(each, "over"))

    @property
    def window_features(self) -> "tuple[WindowFeature, ...]":
        """The window features."""
        found = (each for each in self.own_features if hasattr(each, "over"))
        return tuple(cast("WindowFeature", each) for each in found)

    @cached_property
    def definitions(self) -> Model:
        """The model's definitions; the engine's own where the project has none.

        Raises:
            ProjectDefinitionError: If it is not known which of several models is meant, the main
                model has what only further ones have, or of the main metric less is better.
        """
        if len(self.models) > 1:
            names = ", ".join(self.models)
            raise ProjectDefinitionError(
                f"project.py names several models ({names}), and which one is meant is not known: "
                "all but the main model need a folder models/NAME",
                "make add-model NAME=… TARGET=… makes the folder; in tests and notebooks take "
                "load_settings(project=project).project, which knows the folders",
            )
        if not self.models:
            return ENGINES_OWN
        (make,) = self.models.values()
        definitions = _made(make)
        of_further = (definitions.features, definitions.answer_fields or None, definitions.hooks)
        if not self.model and of_further != (None, None, None):
            raise ProjectDefinitionError(
                "Model(features=…, answer_fields=…, hooks=…) is for a model with a folder "
                "models/NAME",
                "the main model has Project(features=…, answer_fields=…, hooks=…)",
            )
        own = definitions.metric
        if own is not None and not own.greater_is_better:
            raise ProjectDefinitionError(
                f"the main metric {own.name} says greater_is_better=False",
                "return its negative: the search maximises the main metric",
            )
        return definitions

    @cached_property
    def families_of_all(self) -> Model:
        """The families of every model, for what is asked of any version in the registry."""
        made = [_made(make) for make in self.models.values()]
        return Model(families=[family for each in made for family in each.families])

    @cached_property
    def own_answer_fields(self) -> "tuple[Callable[..., Any], ...]":
        """The functions of the answer fields."""
        if self.model:
            return tuple(self.definitions.answer_fields)
        return handed_list("the answer fields", self.answer_fields)

    @cached_property
    def own_hooks(self) -> "Hooks | None":
        """What is done around each answer."""
        if self.model:
            return self.definitions.hooks
        return handed_hooks(self.hooks)

    @cached_property
    def extensions(self) -> Service:
        """What is added to the service."""
        return handed_over("the service", self.service, Service)


def _made(make: Callable[[], Model]) -> Model:
    """A model's definitions, each part of its kind."""
    made = handed_over("the model", make, Model)
    require_parts(made, make)
    return made


_running = Project()


def run_as(project: Project) -> None:
    """Say which project this process runs; called once, at the door."""
    global _running
    _running = project


def running_project() -> Project:
    """The project that this process runs; the bare engine where nobody said."""
    return _running


def unused_definitions(dataset: str) -> str:
    """Why the running project's definitions are not used with a dataset; empty where they are."""
    said = (
        f"project.py is written for the dataset {_running.dataset}, not {dataset}: the engine's "
        "own families, steps and routes are used, without features, answer fields and hooks. To "
        f"use yours, change them and set dataset={dataset!r} there"
    )
    return "" if _running.suits(dataset) else said
