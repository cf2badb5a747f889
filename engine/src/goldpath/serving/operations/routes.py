"""Operations routes: version, registry, validation reports, deployment, figures of the pipeline."""

import os
import platform
import re
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path as File
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from goldpath.contract import Contract
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import DOCUMENTED_CREDENTIALS, KeyedRoute, for_role
from goldpath.serving.metrics.service import Metrics
from goldpath.serving.operations.live_figures import LiveFigures, live_figures
from goldpath.serving.operations.pipeline_reports import (
    DriftFigures,
    PromotionFigures,
    TrainingFigures,
    drift_figures,
    promotion_figures,
    training_figures,
)
from goldpath.serving.operations.registry_facts import (
    Move,
    RegistryFacts,
    RegistryStats,
    Report,
    ReportList,
)
from goldpath.serving.predictor import NoModelError, Predictor
from goldpath.serving.traffic import Traffic
from goldpath.settings import Settings

COMMIT_VARIABLE = "GIT_COMMIT"
REFERENCE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
Reference = Annotated[
    str, Path(pattern=REFERENCE, description="A number, an alias or a semantic version.")
]


class MarkdownResponse(Response):
    """Text in Markdown."""

    media_type = "text/markdown"


class VersionAnswer(BaseModel):
    """The answer of `GET /version`."""

    package: str = Field(description="The project.")
    version: str | None = Field(description="Of the project; null where it is not known.")
    engine: str | None = Field(description="The version of goldpath.")
    commit: str | None = Field(description="The code's git commit, where it is known.")
    python: str
    environment: str
    model_name: str | None
    model_version: str | None
    semantic_version: str | None


class DeploymentStatus(BaseModel):
    """The answer of `GET /deployment/status`: what should serve, what does, and how it came."""

    alias: str
    model_name: str
    expected_version: str | None = Field(description="What the registry's alias points at.")
    serving_version: str | None
    in_step: bool = Field(description="Whether the expected version is the one that serves.")
    from_copy: bool = Field(description="Whether this machine's copy serves.")
    loaded_versions: list[str] = Field(description="Of the worker that answers.")
    challenger_share: float = Field(description="Of the requests that the challenger answers.")
    shadow: bool = Field(description="Whether the challenger scores unseen what others answer.")
    missing: list[str]
    fix: str | None
    aliases: dict[str, str]
    last_promotion: PromotionFigures | None
    moves: list[Move] = Field(description="The newest moves of aliases, by the audit log here.")


class PipelineMetrics(BaseModel):
    """The answer of `GET /pipeline/metrics`: the last training, gate and drift check, and traffic.

    What was never made on this machine is null.
    """

    serving: LiveFigures
    training: TrainingFigures | None
    promotion: PromotionFigures | None
    drift: DriftFigures | None


def operations_router(
    settings: Settings,
    contract: Contract,
    predictor: Predictor,
    traffic: Traffic,
    metrics: Metrics,
) -> APIRouter:
    """The routes; all ask for the role read-metrics."""
    router = APIRouter(
        route_class=for_role(KeyedRoute, "read-metrics"),
        dependencies=DOCUMENTED_CREDENTIALS,
        tags=["operations"],
        responses=problem_answers(401, 403, 429),
    )
    registry = RegistryFacts(settings, contract)
    reports = settings.reports

    @router.get("/version")
    def version() -> VersionAnswer:
        """Which code and which model answer."""
        serving = predictor.status().version
        return VersionAnswer(
            package=settings.project.name,
            version=package_version(settings.root, settings.project.name),
            engine=installed_version("goldpath"),
            commit=code_commit(settings.root),
            python=platform.python_version(),
            environment=settings.environment,
            model_name=serving.name if serving else None,
            model_version=serving.version if serving else None,
            semantic_version=serving.tags.get("semantic_version") if serving else None,
        )

    @router.get("/registry/stats", responses=problem_answers(503))
    def registry_stats() -> RegistryStats:
        """How many versions there are, in which stage, and what the gate said of them."""
        return registry.stats()

    @router.get("/validation/reports", responses=problem_answers(503))
    def validation_reports() -> ReportList:
        """What the gate said of each version, check by check."""
        return registry.reports()

    @router.get("/validation/reports/{reference}", responses=problem_answers(400, 404, 422, 503))
    def validation_report(reference: Reference) -> Report:
        """The whole validation report of a version."""
        return registry.report(reference)

    @router.get("/deployment/status", responses=problem_answers(503))
    def deployment_status() -> DeploymentStatus:
        """Whether the version that should serve does, and how the aliases were moved."""
        aliases, status = registry.aliases(), predictor.status()
        expected = aliases.get(settings.serving.alias)
        serving = status.version.version if status.version else None
        return DeploymentStatus(
            alias=settings.serving.alias,
            model_name=contract.model_name,
            expected_version=expected,
            serving_version=serving,
            in_step=serving is not None and serving == expected,
            from_copy=_from_copy(predictor),
            loaded_versions=sorted(traffic.loaded_versions()),
            challenger_share=traffic.plan.share,
            shadow=traffic.plan.shadow,
            missing=list(status.missing),
            fix=status.fix,
            aliases=aliases,
            last_promotion=promotion_figures(reports),
            moves=registry.moves(),
        )

    @router.get("/pipeline/metrics")
    def pipeline_metrics() -> PipelineMetrics:
        """Traffic and latency by route and version; the last training, gate and drift check."""
        return PipelineMetrics(
            serving=live_figures(metrics, traffic),
            training=training_figures(reports),
            promotion=promotion_figures(reports),
            drift=drift_figures(reports),
        )

    cards: dict[str, str] = {}

    @router.get(
        "/model/card",
        response_class=MarkdownResponse,
        responses=problem_answers(404, 503) | _MARKDOWN,
    )
    def model_card() -> Response:
        """The model card of the version that serves, as Markdown."""
        try:
            serving = predictor.current().version
        except NoModelError as error:
            raise ProblemError(503, error.message, error.fix, {"Retry-After": "5"}) from error
        if serving.version not in cards:
            card = registry.card(serving)
            cards.clear()
            cards[serving.version] = card
        return MarkdownResponse(cards[serving.version])

    return router


_MARKDOWN: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}
}


@cache
def package_version(root: File, package: str) -> str | None:
    """The project's version: by `pyproject.toml`, else of the installed package."""
    try:
        found = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        return str(found["project"]["version"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        return installed_version(package.replace("_", "-"))
    except PackageNotFoundError:
        return None


@cache
def code_commit(root: File) -> str | None:
    """The commit that the code was built from: the build's variable, else the checkout's.

    Git itself need not be installed.
    """
    if named := os.environ.get(COMMIT_VARIABLE, ""):
        return named if re.fullmatch(r"[0-9a-f]{7,64}\+?", named) else None
    git = root / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        name = head.removeprefix("ref: ")
        if name == head:
            return _commit(head)
        loose = git / name
        if loose.is_file():
            return _commit(loose.read_text(encoding="ascii").strip())
        packed = (git / "packed-refs").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    lines = [line.split(" ", 1) for line in packed.splitlines()]
    return next((_commit(line[0]) for line in lines if line[1:] == [name]), None)


def _commit(text: str) -> str | None:
    return text if re.fullmatch(r"[0-9a-f]{40,64}", text) else None


def _from_copy(predictor: Predictor) -> bool:
    serving = predictor.loaded()
    return serving is not None and serving.kept
