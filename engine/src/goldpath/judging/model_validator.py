"""`ModelValidator`: every check of a registered model on rows of one's choice, and one's own."""

import asyncio
from typing import Any, Protocol

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.features.row.complete import complete_rows
from goldpath.judging.checks import CHECKS, are_numbers, make_report, settle
from goldpath.judging.evidence import Evidence
from goldpath.judging.limits import limit_checks
from goldpath.judging.own_checks import own_checks, require_validator, run_own
from goldpath.judging.validation_report import (
    ValidationReport,
    ValidationResult,
    ValidationSetupError,
)
from goldpath.judging.validators import Check, Validator
from goldpath.learning.decision.chosen import with_chosen_metrics
from goldpath.learning.frames import target_values
from goldpath.learning.scoring import LoadedModel, ModelVersion
from goldpath.project import ENGINES_OWN
from goldpath.settings import (
    DecisionSettings,
    MonitoringSettings,
    Settings,
    TrainingSettings,
    ValidationSettings,
)


class Registry(Protocol):
    """What `ModelValidator` needs of a registry; `MLflowManager` has it."""

    model_name: str

    def version(self, version: str) -> ModelVersion:
        """A version of the registered model."""
        ...

    def load(self, version: ModelVersion) -> LoadedModel:
        """A version's pipeline and contract."""
        ...


class ModelValidator:
    """Validates models, with the built-in checks and with one's own.

    Args:
        registry: Where models are looked up by name and version, such as `MLflowManager`.
        settings: Their sections `validation`, `training` and `monitoring` hold the limits, and
            their project its own checks; the defaults and none where not given.

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from sklearn.linear_model import LinearRegression
        >>> from goldpath import Contract, LoadedModel, ModelValidator
        >>> contract = Contract.model_validate({
        ...     "dataset": "flats", "problem": "regression", "source": {"path": "flats.csv"},
        ...     "target": {"column": "rent"}, "features": [{"name": "area", "type": "number"}],
        ... })
        >>> rows = pd.DataFrame({"area": np.linspace(20.0, 120.0, 300)})
        >>> model = LoadedModel(LinearRegression().fit(rows, 12 * rows["area"]), contract)
        >>> report = ModelValidator().validate(
        ...     model=model, validation_data=rows, target=12 * rows["area"]
        ... )
        >>> report.result("predictions are usable").passed
        True
    """

    def __init__(self, registry: Registry | None = None, settings: Settings | None = None) -> None:
        self._registry = registry
        self._validation = settings.validation if settings else ValidationSettings()
        self._training = settings.training if settings else TrainingSettings()
        self._monitoring = settings.monitoring if settings else MonitoringSettings()
        self._decision = settings.decision if settings else DecisionSettings()
        self._definitions = settings.project.definitions if settings else ENGINES_OWN
        model = settings.model if settings else ""
        limits = limit_checks(self._validation, settings.root if settings else None, model)
        self._checks: dict[str, Check | None] = {**CHECKS, **limits}
        self._own: dict[str, Validator] = {}
        for name, validator in own_checks(self._definitions, limits).items():
            self.add_validator(name, validator)

    @property
    def validators(self) -> tuple[str, ...]:
        """The names of the checks, in order."""
        return tuple(self._checks)

    def add_validator(self, name: str, validator: Validator) -> None:
        """Add a check of one's own, or put it in the place of a built-in one.

        Args:
            name: Its name.
            validator: Made by `@gate`; or has `validate(model, data, target, **kwargs)`, sync or
                async, which returns a `ValidationResult`: `BaseValidator` is a start.

        Raises:
            ValidationSetupError: If it has no such method.
        """
        require_validator(name, validator)
        self._checks[name] = None
        self._own[name] = validator

    def remove_validator(self, name: str) -> None:
        """Leave a check out.

        Raises:
            ValidationSetupError: If there is none of that name.
        """
        if name not in self._checks:
            raise ValidationSetupError(
                f"there is no validator {name!r}", f"there are: {', '.join(self._checks)}"
            )
        del self._checks[name]

    async def validate_model(
        self,
        model_id: str | None = None,
        version: str | int | None = None,
        *,
        validation_data: pd.DataFrame,
        target: Any = None,
        reference_data: pd.DataFrame | None = None,
        model: LoadedModel | None = None,
        champion: LoadedModel | None = None,
        size_bytes: int | None = None,
    ) -> ValidationReport:
        """Make every check; the built-in ones run in a thread, so that a server goes on serving.

        Args:
            model_id: The registered model's name.
            version: Its version in the registry.
            validation_data: Rows that the model has not seen, with at least its features.
            target: Their target; the contract's target column where not given. A clustering has
                none.
            reference_data: Rows to compare them with. Where they hold the target, too, or every
                feature of a clustering, they stand for the training rows: baseline and stability
                are checked, or the segments.
            model: The model itself, instead of its name and version.
            champion: A model to compare it with on the same rows.
            size_bytes: The stored model's size, where it is known.

        Raises:
            ValidationSetupError: If model, version or columns do not fit.
        """
        evidence = await asyncio.to_thread(
            lambda: self._gather(
                model or self._load(model_id, version),
                validation_data,
                target,
                reference_data,
                champion,
                size_bytes,
            )
        )
        return await self.judge(evidence)

    def validate(self, *args: Any, **keywords: Any) -> ValidationReport:
        """`validate_model` for code that is not async."""
        return asyncio.run(self.validate_model(*args, **keywords))

    async def judge(self, evidence: Evidence) -> ValidationReport:
        """Make every check on evidence that is at hand."""
        results: list[ValidationResult] = []
        for name, check in self._checks.items():
            if check is not None:
                result = await asyncio.to_thread(check, evidence)
            else:
                result = await run_own(name, self._own[name], evidence)
            if result is not None:
                results.append(settle(result, self._validation))
            if name == "predictions" and not are_numbers(evidence.predictions):
                break
        return make_report(evidence, results)

    def _load(self, model_id: str | None, version: str | int | None) -> LoadedModel:
        if self._registry is None or version is None:
            raise ValidationSetupError(
                "there is no model to validate",
                "give `model=…`, or a registry and the model's name and version",
            )
        if model_id is not None and model_id != self._registry.model_name:
            raise ValidationSetupError(
                f"the registry's model is {self._registry.model_name!r}, not {model_id!r}",
                "make the registry with the contract of that model",
            )
        return self._registry.load(self._registry.version(str(version)))

    def _gather(
        self,
        model: LoadedModel,
        data: pd.DataFrame,
        target: Any,
        reference: pd.DataFrame | None,
        champion: LoadedModel | None,
        size_bytes: int | None,
    ) -> Evidence:
        contract = model.contract
        rows = complete_rows(_with_target(data, target, contract), contract)
        needed, train = contract.label_columns or contract.request.feature_names, None
        if reference is not None and set(needed) <= set(reference.columns):
            labelled = reference.dropna(subset=contract.label_columns)
            train = complete_rows(labelled.reset_index(drop=True), contract)
        return Evidence(
            model=model,
            rows=rows,
            truth=target_values(rows, contract),
            predictions=model.predict(rows),
            validation=self._validation,
            training=self._training,
            monitoring=self._monitoring,
            train=train,
            reference=reference,
            champion=champion,
            size_bytes=size_bytes,
            definitions=with_chosen_metrics(
                self._definitions, contract, self._training, self._decision
            ),
        )


def create_model_validator(
    registry: Registry | None = None, settings: Settings | None = None
) -> ModelValidator:
    """A `ModelValidator`, as guides make it."""
    return ModelValidator(registry, settings)


def _with_target(data: pd.DataFrame, target: Any, contract: Contract) -> pd.DataFrame:
    """The rows with their target, checked."""
    rows = pd.DataFrame(data).reset_index(drop=True)
    absent = [name for name in contract.request.feature_names if name not in rows.columns]
    column = contract.target.column
    if target is not None and not contract.has_target:
        raise ValidationSetupError(
            "a target is given, and problem: clustering has none", "leave `target` out"
        )
    if target is None and contract.has_target and column not in rows.columns:
        absent.append(column)
    if absent or rows.empty:
        raise ValidationSetupError(
            f"the rows lack {', '.join(absent)}" if absent else "there are no rows",
            "give rows with every feature of the contract"
            + ", and the target" * contract.has_target,
        )
    if not contract.has_target:
        return rows
    if target is not None:
        values = np.asarray(target, dtype=object).ravel()
        if len(values) != len(rows):
            raise ValidationSetupError(
                f"{len(rows)} rows and {len(values)} targets", "give one target for each row"
            )
        rows = rows.assign(**{column: values})
    if rows[column].isna().any():
        raise ValidationSetupError(
            f"{int(rows[column].isna().sum())} rows have no target", "leave them out"
        )
    if contract.problem == "classification":
        strange = sorted({str(value) for value in rows[column]} - set(contract.target.classes))
        if strange:
            raise ValidationSetupError(
                f"the target holds {', '.join(strange[:5])}, which the contract does not name",
                f"its classes are: {', '.join(contract.target.classes)}",
            )
    return rows
