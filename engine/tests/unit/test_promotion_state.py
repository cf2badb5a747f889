"""The registry beside its audit log, former champions and traffic: no server is asked."""

from types import SimpleNamespace
from typing import Any

import pytest

from goldpath.errors import NothingToDoError
from goldpath.jobs.promotion import registry_audit
from goldpath.jobs.promotion.registry_audit import _alias_differences, _of_model, reconcile
from goldpath.jobs.promotion.rollback import (
    ROLLED_BACK,
    RollbackResult,
    champion_moves,
    former_champion,
    rollback,
)
from goldpath.jobs.promotion.traffic import (
    TrafficState,
    direct_traffic,
    stop_traffic,
    traffic_state,
)
from goldpath.model_version import ModelVersion
from goldpath.registry.mlflow_manager import RegistryError
from goldpath.registry.traffic_plan import SHADOW_TAG, SHARE_TAG, TrafficPlan
from goldpath.settings import Settings
from goldpath.trust.audit import audit_file
from goldpath.trust.audit_log import INTERRUPTED, writing
from goldpath.trust.audit_record import AuditRecord
from goldpath.trust.signing import SignatureError

MODEL = "churn"
MINUTE = "2026-01-01T00:{:02}:00.000000Z"
BEGAN = 1767225600.0


def record(sequence: int, action: str = "tagged", **values: Any) -> AuditRecord:
    usual = {"actor": "me", "model": MODEL, "time": MINUTE.format(sequence), "log": "here"}
    copy = "".join([*action])  # as it is read from a file: equal, and not one object
    return AuditRecord(sequence=sequence, action=copy, **{**usual, **values}).sealed()


def moved(sequence: int, alias: str, after: str | None, **values: Any) -> AuditRecord:
    return record(sequence, "promoted", alias=alias, after=after, **values)


def version(number: str, **values: Any) -> ModelVersion:
    usual: dict[str, Any] = {"run_id": f"run{number}", "aliases": (), "tags": {}}
    return ModelVersion(MODEL, number, **{**usual, **values})


class Manager:
    """As much of a registry as is looked at."""

    def __init__(self, *versions: ModelVersion, **aliases: str) -> None:
        self.model_name, self.store = MODEL, "the store"
        self.settings: Any = None
        self.model: Any = SimpleNamespace(name=MODEL, aliases=aliases)
        self.found = list(versions)
        self.done: list[Any] = []
        self.signatures: dict[str, Any] = {}

    def registered_model(self) -> Any:
        return self.model

    def versions(self) -> list[ModelVersion]:
        return self.found

    def signature(self, version: ModelVersion) -> Any:
        found = self.signatures[version.version]
        if isinstance(found, Exception):
            raise found
        return found

    def version_by_alias(self, alias: str) -> ModelVersion | None:
        number = self.model.aliases.get(alias)
        return next((each for each in self.found if each.version == number), None)

    def find(self, reference: str) -> ModelVersion:
        return next(each for each in self.found if each.version == reference)

    def tag_version(self, number: str, tags: dict[str, str]) -> None:
        self.done.append((number, tags))
        self.found = [
            version(each.version, aliases=each.aliases, tags={**each.tags, **tags})
            if each.version == number
            else each
            for each in self.found
        ]

    def set_alias(self, alias: str, number: str) -> None:
        self.done.append((alias, number))
        self.model.aliases[alias] = number

    def remove_alias(self, alias: str) -> None:
        self.done.append((alias, None))
        del self.model.aliases[alias]


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> list[AuditRecord]:
    """The records that other machines left in MLflow."""
    records: list[AuditRecord] = []
    monkeypatch.setattr(registry_audit, "ledger_records", lambda *_: records)
    monkeypatch.setattr("goldpath.jobs.promotion.rollback.ledger_records", lambda *_: records)
    return records


def differences(*records: AuditRecord, foreign: Any = (), **current: str) -> list[str]:
    return _alias_differences(current, MODEL, records, foreign)


def test_an_alias_is_where_the_last_record_has_it() -> None:
    first, second = moved(1, "champion", "1"), moved(2, "champion", "2")
    assert differences(first, second, champion="2") == []
    assert differences(second, first, champion="2") == [], "by time, not by place"
    assert differences(first, foreign=[second], champion="2") == []
    assert differences(record(3), champion="1", staging="2") == [
        "the alias champion of churn points at version 1, and no record says since when",
        "the alias staging of churn points at version 2, and no record says since when",
    ]
    last = f"the last record (2, {second.time}, me) has it at version 2"
    moved_elsewhere = "it was moved without this project"
    assert differences(first, second, champion="1") == [
        f"the alias champion of churn points at version 1; {last}: {moved_elsewhere}"
    ]
    assert differences(first, second) == [
        f"the alias champion of churn is gone; {last}: {moved_elsewhere}"
    ]
    removed = moved(3, "champion", None)
    assert differences(first, removed) == []
    assert "has it at nothing" in differences(first, removed, champion="1")[0]


def test_records_of_a_model_are_those_of_its_names_and_of_its_last_life() -> None:
    renamed = record(2, "renamed", details={"before": "old"})
    records = [
        record(1, model="old"),
        renamed,
        record(3, model="other"),
        record(4, INTERRUPTED),
        record(5),
    ]
    assert [each.sequence for each in _of_model(records, MODEL)] == [1, 2, 5]
    whole = record(6, "deleted")
    assert [each.sequence for each in _of_model([*records, whole], MODEL)] == [1, 2, 5, 6]
    again = [*records, whole, record(7), record(8)]
    assert [each.sequence for each in _of_model(again, MODEL)] == [6, 7, 8]
    twice = [*again, record(9, "deleted"), record(10)]
    assert [each.sequence for each in _of_model(twice, MODEL)] == [9, 10]
    one = [*records, record(6, "deleted", version="1"), record(7)]
    assert [each.sequence for each in _of_model(one, MODEL)] == [1, 2, 5, 6, 7]
    olds = [record(1, "deleted", model="old"), renamed, record(5)]
    assert [each.sequence for each in _of_model(olds, MODEL)] == [1, 2, 5]


def test_a_model_that_is_gone_must_have_been_deleted(ledger: list[AuditRecord]) -> None:
    manager: Any = Manager()
    manager.model = None
    assert reconcile(manager, []) == []
    gone = ["the model churn is gone, and no record says who deleted it"]
    assert reconcile(manager, [record(1)]) == gone
    assert reconcile(manager, [record(1), record(2, "deleted")]) == []
    assert reconcile(manager, [record(1, model="other")]) == []


def registered(sequence: int, number: str, **details: Any) -> AuditRecord:
    details = {"run_id": f"run{number}", **details}
    return record(sequence, "registered", version=number, details=details)


def test_versions_come_and_go_with_a_record(ledger: list[AuditRecord]) -> None:
    records = [registered(1, "1"), registered(2, "2"), record(3, "deleted", version="1")]
    late, early = version("3", created=BEGAN + 61), version("3", created=BEGAN + 59)
    at_once = version("3", created=BEGAN + 60)
    by_nobody = ["version 3 was registered, and no record says by whom"]
    two = version("2", created=BEGAN + 120)

    def found(*versions: ModelVersion, of: Any = records) -> list[str]:
        manager: Any = Manager(*versions)
        return reconcile(manager, of)

    assert found(two) == []
    assert found() == ["version 2 is gone, and no record says who deleted it"]
    assert found(two, late) == by_nobody
    assert found(two, at_once) == found(two, early) == [], "before the log began"
    assert found(late, of=[]) == []
    assert found(version("1"), of=records[:1]) == [], "a log of one record"
    assert found(version("1"), of=records[:2]) == [
        "version 2 is gone, and no record says who deleted it"
    ]


def test_moves_of_another_machine_are_no_difference(ledger: list[AuditRecord]) -> None:
    manager: Any = Manager(version("1"), version("2"), champion="2")
    records = [registered(1, "1"), registered(2, "2"), moved(3, "champion", "1")]
    assert len(reconcile(manager, records)) == 1
    ledger.append(moved(4, "champion", "2"))
    assert len(reconcile(manager, records)) == 1, "it claims to be of this log, which lacks it"
    for log in ("elsewhere", "somewhere else"):
        ledger[0] = moved(4, "champion", "2", log=log)
        assert reconcile(manager, records) == []


def test_files_of_another_run_or_another_signature_are_found(
    ledger: list[AuditRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {"signature": "yes"}
    manager: Any = Manager(
        version("1", tags=tags),
        version("2", run_id="strange", tags=tags),
        version("3", tags=tags),
        version("4", tags=tags),
        version("5"),
        version("6", tags=tags),
        version("7", tags=tags),
    )
    signed = SimpleNamespace(names_version=True)
    manager.signatures = {
        "1": SimpleNamespace(names_version=True, version="1"),
        "3": SignatureError("a bad signature"),
        "4": SimpleNamespace(**vars(signed), version="1"),
        "6": SimpleNamespace(names_version=False, version=""),
        "7": SimpleNamespace(**vars(signed), version=""),
    }
    asked: list[str] = []
    monkeypatch.setattr(
        registry_audit, "require_registered", lambda each, *_: asked.append(each.version)
    )
    records = [registered(int(number), number) for number in "1234567"]
    assert reconcile(manager, records) == [
        "version 2 is of run strange, and record 2 registered another run's files as it",
        "a bad signature",
        "version 4 has the signature of version 1",
        "version 7 has the signature of version (none)",
    ]
    assert asked == ["1", "4", "6", "7"]
    again = [*records, registered(8, "2", run_id="strange")]
    manager.signatures["2"] = manager.signatures["6"]
    assert not any("strange" in each for each in reconcile(manager, again)), "by one of its records"
    assert reconcile(manager, []) == []


def test_champions_are_of_log_and_ledger_in_the_order_of_time(
    project: Settings, ledger: list[AuditRecord]
) -> None:
    with writing(audit_file(project), lambda _: False) as writer:
        for alias, after in (("champion", "1"), ("staging", "2"), ("champion", "3")):
            writer.append(writer.draft("me", "promoted", MODEL, None, None, alias, None, after))
        lost = writer.draft("me", "promoted", MODEL, None, None, "champion", "3", "9")
        writer.append(writer.interruption(lost))
    manager: Any = Manager()
    early = moved(1, "champion", "0", log="elsewhere")
    ledger += [early, lost, moved(2, "staging", "5")]
    assert [move.after for move in champion_moves(project, manager)] == ["0", "1", "3"]
    manager.model = None
    assert [move.after for move in champion_moves(project, manager)] == ["1", "3"]


def test_a_former_champion_is_found_behind_rollbacks_and_deleted_ones() -> None:
    def move(before: str | None, after: str, action: str = "promoted") -> Any:
        return SimpleNamespace(before=before, after=after, action=action)

    there = {"1", "2", "3"}
    assert former_champion([move(None, "1")], "1", there) is None
    assert former_champion([move("1", "1")], "1", there) is None
    circle = [move("1", "2"), move("2", "1"), move("1", "2")]
    assert former_champion(circle, "2", there) == "1"
    assert former_champion(circle, "2", {"2"}) is None
    back = [move("1", "2"), move("2", "3"), move("3", "2", ROLLED_BACK)]
    assert former_champion(back, "2", there) == "1"
    assert former_champion(back[1:], "2", there) is None
    read = "".join([*ROLLED_BACK])  # as it is read from a file: equal, and not one object
    assert former_champion([*back[:2], move("3", "2", read)], "2", there) == "1"
    for action in ("alias moved", "set by another engine"):
        assert former_champion([move("1", "2", action)], "2", there) == "1"


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """What rollbacks of a registry with versions 1 to 3 moved: 1, 2 and 3 were champion in turn."""
    done: list[tuple[str, str, str]] = []

    def move(_settings: Any, _store: Any, start: Any, target: str, action: str) -> Any:
        done.append((start.version, target, action))
        return SimpleNamespace(sequence=7)

    manager: Any = Manager(version("1"), version("2"), version("3"), version("4"), champion="3")
    manager.note_succession = lambda *_: None
    history = [
        moved(n, "champion", str(n), before=str(n - 1) if n > 1 else None) for n in (1, 2, 3)
    ]
    for name, stand_in in {
        "MLflowManager": lambda *_: manager,
        "position": lambda *_: SimpleNamespace(version=manager.model.aliases.get("champion")),
        "champion_moves": lambda *_: history,
        "move_alias": move,
        "announce": lambda *_: "nobody to tell",
        "event_of": lambda _: None,
        "supersede_verdicts": lambda *_: None,
    }.items():
        monkeypatch.setattr(f"goldpath.jobs.promotion.rollback.{name}", stand_in)
    return done


@pytest.mark.parametrize(("to", "target"), [(None, "2"), ("2", "2"), ("1", "1")])
def test_a_rollback_goes_to_the_champion_before_or_to_the_one_that_is_named(
    project: Settings, moves: list[tuple[str, str, str]], to: str | None, target: str
) -> None:
    contract: Any = None
    assert rollback(project, contract, to) == RollbackResult(
        MODEL, target, "3", 7, "nobody to tell"
    )
    assert moves == [("3", target, ROLLED_BACK)]


@pytest.mark.parametrize(
    ("to", "error", "said"),
    [
        ("3", NothingToDoError, "version 3 is the champion already"),
        ("4", RegistryError, "version 4 of churn never was champion, or is deleted"),
        ("9", RegistryError, "version 9 of churn never was champion, or is deleted"),
    ],
)
def test_a_rollback_to_what_never_was_champion_or_still_is_moves_nothing(
    project: Settings,
    moves: list[tuple[str, str, str]],
    to: str,
    error: type[Exception],
    said: str,
) -> None:
    contract: Any = None
    with pytest.raises(error, match=said):
        rollback(project, contract, to)
    assert moves == []


def test_traffic_is_the_challengers_while_its_tags_say_so() -> None:
    manager: Any = Manager(version("1"), version("2"), champion="1")
    nobody = TrafficState(MODEL, "1", None, 0.0, shadow=False)
    assert traffic_state(manager) == nobody
    manager.model.aliases["challenger"] = "2"
    assert traffic_state(manager) == nobody, "an alias without a plan"
    assert stop_traffic(manager) == nobody
    assert manager.done[-1] == ("challenger", None)
    before = len(manager.done)
    assert stop_traffic(manager) == nobody
    assert len(manager.done) == before
    found = direct_traffic(manager, "2", TrafficPlan(0.25, shadow=True))
    assert found == TrafficState(MODEL, "1", "2", 0.25, shadow=True)
    empty: Any = Manager()
    assert traffic_state(empty) == TrafficState(MODEL, None, None, 0.0, shadow=False)


def test_one_challenger_follows_another_and_the_champion_is_none() -> None:
    champion = version("1", aliases=("champion",))
    manager: Any = Manager(champion, version("2"), version("3"), champion="1")
    direct_traffic(manager, "2", TrafficPlan(0.5))
    direct_traffic(manager, "2", TrafficPlan(0.1))
    none = {SHARE_TAG: "", SHADOW_TAG: ""}
    assert ("2", none) not in manager.done
    found = direct_traffic(manager, "3", TrafficPlan(0.2))
    assert found.challenger == "3"
    assert manager.done[-3:] == [("2", none), ("3", TrafficPlan(0.2).tags()), ("challenger", "3")]
    stop_traffic(manager)
    assert manager.done[-2:] == [("3", none), ("challenger", None)]
    with pytest.raises(RegistryError, match="version 1 is the champion"):
        direct_traffic(manager, "1", TrafficPlan(0.2))
