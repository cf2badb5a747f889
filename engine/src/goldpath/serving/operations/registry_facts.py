"""What the registry says, for the operations routes: read over HTTP or SQL, without MLflow.

The answers are typed, and a registry that is away is a problem (503) that names the fix.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.serving.http.problem_error import ProblemError
from goldpath.settings import Settings

if TYPE_CHECKING:
    from goldpath.model_version import ModelVersion
    from goldpath.registry.mlflow_manager import MLflowManager

SQLITE = "sqlite:///"
SHOWN_MOVES = 20
_CHECKS = TypeAdapter(dict[str, str])


class VersionFacts(BaseModel):
    """A version in the registry."""

    model_version: str
    semantic_version: str | None
    stage: str
    aliases: list[str]
    gate: str | None = Field(description="passed, refused, or null where no gate was asked.")
    created: str
    signed_by: str | None
    compiled: str | None
    description: str


class RegistryStats(BaseModel):
    """The registered model, counted."""

    model_name: str
    versions: int
    by_stage: dict[str, int]
    aliases: dict[str, str]
    gate: dict[str, int] = Field(description="Versions by the gate's verdict.")
    newest: list[VersionFacts] = Field(description="At most 20, the newest first.")


class ReportSummary(BaseModel):
    """What the gate said of a version."""

    model_version: str
    semantic_version: str | None
    verdict: str
    checks: dict[str, str]


class ReportList(BaseModel):
    """Every version that the gate has judged, the newest first."""

    model_name: str
    reports: list[ReportSummary]


class CheckResult(BaseModel):
    """One check of a report."""

    name: str
    status: str
    message: str
    score: float | None = None
    threshold: float | None = None
    severity: str = ""
    optional: bool = False
    details: dict[str, dict[str, float | str | None]] = {}


class Report(BaseModel):
    """A validation report, as the gate stored it with the run."""

    model: str
    version: str
    rows: int
    created: str
    overall_status: str
    verdict: str
    errors: list[str]
    warnings: list[str]
    results: list[CheckResult]


class Move(BaseModel):
    """An alias that moved, from this machine's audit log."""

    record: int
    time: str
    actor: str
    action: str
    alias: str
    before: str | None
    after: str | None


class RegistryFacts:
    """Reads the registry for one app.

    Args:
        settings: Say where the registry is.
        contract: Names the registered model.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._settings = settings
        self._contract = contract

    @cached_property
    def _manager(self) -> "MLflowManager":
        from goldpath.registry.mlflow_manager import MLflowManager

        return MLflowManager(self._settings, self._contract)

    def stats(self) -> RegistryStats:
        """The registered model, counted."""
        with self._reading() as manager:
            versions = manager.versions()
        facts = [version_facts(version) for version in reversed(versions)]
        return RegistryStats(
            model_name=manager.model_name,
            versions=len(facts),
            by_stage=_counted([item.stage for item in facts]),
            aliases=aliases_of(versions),
            gate=_counted([item.gate or "not judged" for item in facts]),
            newest=facts[:SHOWN_MOVES],
        )

    def aliases(self) -> dict[str, str]:
        """The version that each alias points at."""
        with self._reading() as manager:
            return aliases_of(manager.versions())

    def reports(self) -> ReportList:
        """What the gate said of each version."""
        with self._reading() as manager:
            versions = manager.versions()
        return ReportList(
            model_name=manager.model_name,
            reports=[
                ReportSummary(
                    model_version=version.version,
                    semantic_version=version.tags.get("semantic_version"),
                    verdict=version.tags["gate"],
                    checks=_checks(version.tags.get("gate_checks", "")),
                )
                for version in reversed(versions)
                if "gate" in version.tags
            ],
        )

    def report(self, reference: str) -> Report:
        """The whole report of a version, by number, alias or semantic version."""
        with self._reading() as manager:
            version = self._find(manager, reference)
            text = manager.files.report(version) if version.run_id else None
        if text is None:
            raise ProblemError(
                404,
                f"version {version.version} has no validation report: the gate has not judged it",
                f"make promote ARGS='--version {version.version}'",
            )
        try:
            return Report.model_validate_json(text)
        except ValidationError as error:
            raise ProblemError(
                503,
                f"the validation report of version {version.version} is of another form",
                "let the gate judge it again: make promote",
            ) from error

    def card(self, version: "ModelVersion") -> str:
        """The model card of a version, as Markdown."""
        with self._reading() as manager:
            text = self._card(manager, version)
        if text is None:
            raise ProblemError(
                404,
                f"version {version.version} of {version.name} has no model card",
                "serve a version that make train-local registered",
            )
        return text

    def moves(self) -> list[Move]:
        """The newest moves of aliases in this machine's audit log, the newest first."""
        from goldpath.trust.audit import history

        records = history(self._settings, self._contract.model_name)
        return [
            Move(
                record=record.sequence,
                time=record.time,
                actor=record.actor,
                action=record.action,
                alias=record.alias,
                before=record.before,
                after=record.after,
            )
            for record in reversed(records)
            if record.alias
        ][:SHOWN_MOVES]

    @contextmanager
    def _reading(self) -> "Iterator[MLflowManager]":
        """The registry; whatever keeps it from being read is a problem that names the fix."""
        uri = self._settings.tracking_uri
        # MLflow would create the database.
        if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists():
            raise ProblemError(503, "there is no model registry yet", "make train-local")
        try:
            yield self._manager
        except ProjectError as error:
            # The message may name the registry's address; whoever asks here gets no password.
            message = re.sub(r"://[^/@\s]*@", "://", error.message)
            raise ProblemError(503, message, error.fix, {"Retry-After": "10"}) from error

    def _find(self, manager: "MLflowManager", reference: str) -> "ModelVersion":
        found = next(
            (
                version
                for version in reversed(manager.versions())
                if reference in (version.version, version.tags.get("semantic_version"))
                or reference in version.aliases
            ),
            None,
        )
        if found is None:
            raise ProblemError(
                404,
                f"{manager.model_name} has no version called {reference}",
                "GET /registry/stats lists numbers, aliases and semantic versions",
            )
        return found

    def _card(self, manager: "MLflowManager", version: "ModelVersion") -> str | None:
        from goldpath.registry.layout import CARD_FILE

        if not version.run_id or not manager.has_artifact(version.run_id, CARD_FILE):
            return None
        with TemporaryDirectory(prefix="card-") as folder:
            file = manager.files.document(version, CARD_FILE, Path(folder))
            return file.read_text(encoding="utf-8", errors="replace")


def version_facts(version: "ModelVersion") -> VersionFacts:
    """A version as the routes show it."""
    from goldpath.registry.layout import COMPILED_TAG, KEY_TAG
    from goldpath.registry.stages import stage_of

    return VersionFacts(
        model_version=version.version,
        semantic_version=version.tags.get("semantic_version"),
        stage=stage_of(version),
        aliases=list(version.aliases),
        gate=version.tags.get("gate"),
        created=datetime.fromtimestamp(version.created, UTC).isoformat(timespec="seconds"),
        signed_by=version.tags.get(KEY_TAG),
        compiled=version.tags.get(COMPILED_TAG),
        description=version.description.strip().split("\n")[0][:200],
    )


def aliases_of(versions: "Sequence[ModelVersion]") -> dict[str, str]:
    """The version that each alias points at."""
    return {alias: version.version for version in versions for alias in version.aliases}


def _checks(text: str) -> dict[str, str]:
    try:
        return _CHECKS.validate_python(json.loads(text))
    except (ValueError, ValidationError):
        return {}


def _counted(values: Sequence[Any]) -> dict[str, int]:
    return {str(value): values.count(value) for value in sorted(set(values), key=str)}
