"""What the registry's commands show: no server is asked."""

from types import SimpleNamespace
from typing import Any

from goldpath.jobs.promotion import registry_view
from goldpath.jobs.promotion.registry_view import (
    VersionView,
    history_rows,
    model_rows,
    short_view,
    version_rows,
    version_view,
    webhook_rows,
)
from goldpath.model_version import ModelVersion
from goldpath.settings import Settings
from goldpath.trust.audit import audit_file
from goldpath.trust.audit_log import writing

MODEL = "churn"
BEGAN = 1767225600.0


def version(number: str, **values: Any) -> ModelVersion:
    usual: dict[str, Any] = {"run_id": f"run{number}", "aliases": (), "tags": {}}
    return ModelVersion(MODEL, number, **{**usual, **values})


def test_a_version_is_a_line_of_the_list() -> None:
    full = version(
        "3",
        aliases=("champion",),
        tags={"semantic_version": "1.2.0", "gate": "passed"},
        description="  " + "x" * 90 + "\nmore\n",
        created=BEGAN + 1,
    )
    one, bare = version_rows([full, version("4")])
    assert (one.version, one.semantic, one.gate, one.aliases) == (
        "3",
        "1.2.0",
        "passed",
        ("champion",),
    )
    assert (one.stage, one.description) == ("Production", "x" * 80)
    assert one.created == "2026-01-01 00:00:01"
    assert (bare.semantic, bare.gate, bare.created, bare.description) == ("", "", "", "")


def test_models_and_webhooks_are_lines_too() -> None:
    found = SimpleNamespace(name="m", aliases={"champion": "1"}, description="d" * 90)
    store = SimpleNamespace(versions=lambda name: [name] * 3)
    hooks = [
        SimpleNamespace(webhook_id="1", name="a", url="u", events=[1, "b"], status="ACTIVE"),
        SimpleNamespace(
            webhook_id="2", name="a", url="u", events=[], status=SimpleNamespace(value="OFF")
        ),
    ]
    manager: Any = SimpleNamespace(
        store=store,
        search_models=lambda text: [found] if text == "x" else [],
        webhooks=lambda: hooks,
    )
    (row,) = model_rows(manager, "x")
    assert (row.name, row.aliases, row.versions, row.description) == (
        "m",
        {"champion": "1"},
        3,
        "d" * 80,
    )
    assert model_rows(manager) == []
    assert [(row.events, row.status) for row in webhook_rows(manager)] == [
        (("1", "b"), "ACTIVE"),
        ((), "OFF"),
    ]


def view_of(metrics: dict[str, float] | None, **tags: str) -> VersionView:
    found = version("3", tags=tags, source="s3://x")
    run = None if metrics is None else SimpleNamespace(metrics=metrics)
    manager: Any = SimpleNamespace(find=lambda _: found, run_record=lambda _: run)
    return version_view(manager, "3")


def test_a_version_is_shown_with_what_its_run_measured() -> None:
    view = view_of(
        {"b": float("nan"), "a": 0.5},
        zebra="z" * 400,
        other="1",
        signed_by="key",
        model_digest="d",
        semantic_version="1.0.0",
        signature="s",
        stage="Staging",
    )
    assert view.metrics == {"a": 0.5, "b": None}
    assert [*view.metrics] == ["a", "b"]
    assert view.tags == {"other": "1", "zebra": "z" * registry_view.LONGEST_TAG}
    assert [*view.tags] == ["other", "zebra"]
    assert (view.signed_by, view.digest, view.semantic, view.stage) == (
        "key",
        "d",
        "1.0.0",
        "Staging",
    )
    bare = view_of(None)
    assert (bare.metrics, bare.signed_by, bare.digest, bare.semantic) == ({}, "nobody", "", "")


def test_a_terminal_gets_tags_of_forty_characters() -> None:
    view = view_of(None, a="y" * 40, b="z" * 41, c="x\ny")
    shown = short_view(view)
    assert shown["tags"] == {"a": "y" * 40, "b": "z" * 39 + "…", "c": "x y"}
    assert shown["in full"] == "registry show 3 --json"
    assert shown["source"] == "s3://x"


def test_history_is_shown_record_by_record(project: Settings) -> None:
    with writing(audit_file(project), lambda _: False) as writer:
        for args in (
            ("me", "registered", MODEL, "1", {"a": "x" * 150, "b": 2}),
            ("me", "promoted", MODEL, "2", None, "champion", "1", "2"),
            ("me", "promoted", MODEL, "3", None, "champion", None, None),
            ("me", "tagged", "other", "1"),
            ("me", "described", MODEL),
        ):
            writer.append(writer.draft(*args))
    rows = history_rows(project, MODEL, None)
    assert [row.record for row in rows] == [1, 2, 3, 5]
    assert [row.change for row in rows] == [
        ("a: " + "x" * 150)[:100],
        "champion: 1 -> 2",
        "champion: - -> -",
        "",
    ]
    assert [row.version for row in rows] == ["1", "2", "3", ""]
    assert all(len(row.time) == 19 and row.time[10] == " " for row in rows)
    assert [row.record for row in history_rows(project, MODEL, "1")] == [1, 2]
    assert [row.record for row in history_rows(project, MODEL, "2")] == [2]
