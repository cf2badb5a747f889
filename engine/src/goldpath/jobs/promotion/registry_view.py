"""What the registry's commands show: rows of versions, models and records."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from goldpath.model_version import ModelVersion
from goldpath.presentation import one_line
from goldpath.registry.layout import DIGEST_TAG, KEY_TAG, SEMANTIC_TAG, SIGNATURE_TAG
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.stages import STAGE_TAG, stage_of
from goldpath.settings import Settings
from goldpath.trust.audit import history

SHOWN_APART = (SEMANTIC_TAG, DIGEST_TAG, KEY_TAG, SIGNATURE_TAG, STAGE_TAG)
LONGEST_TAG = 300
SHORT_TAG = 40


@dataclass(frozen=True)
class VersionRow:
    """One line of `registry list`."""

    version: str
    semantic: str
    stage: str
    aliases: tuple[str, ...]
    gate: str
    created: str
    description: str


@dataclass(frozen=True)
class ModelRow:
    """One line of `registry list --all`."""

    name: str
    aliases: dict[str, str]
    versions: int
    description: str


@dataclass(frozen=True)
class VersionView:
    """What `registry show` says of a version."""

    model: str
    version: str
    semantic: str
    stage: str
    aliases: tuple[str, ...]
    description: str
    created: str
    run: str
    metrics: dict[str, float | None]
    tags: dict[str, str]
    signed_by: str
    digest: str
    source: str


@dataclass(frozen=True)
class HistoryRow:
    """One line of `registry history`."""

    record: int
    time: str
    actor: str
    action: str
    version: str
    change: str


@dataclass(frozen=True)
class WebhookRow:
    """One line of `registry webhook list`."""

    webhook: str
    name: str
    url: str
    events: tuple[str, ...]
    status: str


def version_rows(versions: Iterable[ModelVersion]) -> list[VersionRow]:
    """A line for each version."""
    return [
        VersionRow(
            version=item.version,
            semantic=item.tags.get(SEMANTIC_TAG, ""),
            stage=stage_of(item),
            aliases=item.aliases,
            gate=item.tags.get("gate", ""),
            created=_time(item.created),
            description=item.description.strip().split("\n")[0][:80],
        )
        for item in versions
    ]


def model_rows(manager: MLflowManager, text: str = "") -> list[ModelRow]:
    """A line for each registered model."""
    return [
        ModelRow(
            model.name,
            dict(model.aliases),
            len(manager.store.versions(model.name)),
            model.description[:80],
        )
        for model in manager.search_models(text)
    ]


def version_view(manager: MLflowManager, reference: str) -> VersionView:
    """One version with what its run measured."""
    version = manager.find(reference)
    run = manager.run_record(version)
    metrics = run.metrics if run else {}
    return VersionView(
        model=version.name,
        version=version.version,
        semantic=version.tags.get(SEMANTIC_TAG, ""),
        stage=stage_of(version),
        aliases=version.aliases,
        description=version.description,
        created=_time(version.created),
        run=version.run_id,
        # JSON has no word for a number that is none.
        metrics={
            name: value if value == value else None for name, value in sorted(metrics.items())
        },
        tags={
            key: value[:LONGEST_TAG]
            for key, value in sorted(version.tags.items())
            if key not in SHOWN_APART
        },
        signed_by=version.tags.get(KEY_TAG, "nobody"),
        digest=version.tags.get(DIGEST_TAG, ""),
        source=version.source,
    )


def short_view(view: VersionView) -> dict[str, object]:
    """The version for a terminal: a line a fact, short ids; `--json` has all of it."""
    values = asdict(view)
    for name in ("run", "digest", "source", "signed_by"):
        values[name] = one_line(values[name])
    shown = {key: one_line(value) for key, value in view.tags.items()}
    values["tags"] = {
        key: value if len(value) <= SHORT_TAG else f"{value[: SHORT_TAG - 1]}…"
        for key, value in shown.items()
    }
    return {**values, "in full": f"registry show {view.version} --json"}


def history_rows(settings: Settings, model: str, version: str | None) -> list[HistoryRow]:
    """A line for each audit record of a model."""
    return [
        HistoryRow(
            record.sequence,
            record.time[:19].replace("T", " "),
            record.actor,
            record.action,
            record.version or "",
            f"{record.alias}: {record.before or '-'} -> {record.after or '-'}"
            if record.alias
            else ", ".join(f"{key}: {value}" for key, value in record.details.items())[:100],
        )
        for record in history(settings, model)
        if version in (None, record.version, record.before)
    ]


def webhook_rows(manager: MLflowManager) -> list[WebhookRow]:
    """A line for each of the server's webhooks."""
    return [
        WebhookRow(
            item.webhook_id,
            item.name,
            item.url,
            tuple(str(event) for event in item.events),
            str(getattr(item.status, "value", item.status)),
        )
        for item in manager.webhooks()
    ]


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}" if seconds else ""
