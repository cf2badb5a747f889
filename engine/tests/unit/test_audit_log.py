"""The audit log's file, head and pending draft after each way in which a writer may end."""

import getpass
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from goldpath.errors import CheckFailedError
from goldpath.settings import RegistrySettings, Settings
from goldpath.trust import audit_log
from goldpath.trust.audit import (
    RENAMED,
    Anchor,
    actor,
    audit_file,
    champion_on,
    check_log,
    history,
    names_of,
    read_records,
    verify,
)
from goldpath.trust.audit_log import INTERRUPTED, RECOVERED, read_head, read_log, writing
from goldpath.trust.audit_record import FIRST, AuditError, AuditRecord, Head, parse_line
from goldpath.trust.lineage import Lineage, lineage_table


def never(_: AuditRecord) -> bool:
    raise AssertionError("nothing is pending")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "audit.jsonl"


def add(file: Path, *versions: str, action: str = "tagged", model: str = "churn") -> None:
    with writing(file, never) as writer:
        for version in versions:
            writer.append(writer.draft("me", action, model, version))


def records_of(file: Path) -> list[AuditRecord]:
    return [parse_line(line) for line in file.read_bytes().splitlines()]


def pending(file: Path) -> Path:
    return file.with_name(f"{file.name}.pending")


def head(file: Path) -> Path:
    return file.with_name(f"{file.name}.head")


def settings_of(project: Settings, **registry: object) -> Settings:
    section = RegistrySettings.model_validate({**project.registry.model_dump(), **registry})
    return project.model_copy(update={"registry": section})


def test_records_are_numbered_and_chained_in_one_log(file: Path) -> None:
    add(file, "1", "2")
    add(file, "3")

    first, second, third = records_of(file)

    assert [each.sequence for each in (first, second, third)] == [1, 2, 3]
    assert [each.previous for each in (first, second, third)] == [FIRST, first.hash, second.hash]
    assert len({each.log for each in (first, second, third)}) == 1
    assert len(first.log) == 12
    assert FIRST == "0" * 64
    assert read_head(file) == Head(3, third.hash, third.log)
    assert sorted(each.name for each in file.parent.iterdir()) == [
        "audit.jsonl",
        "audit.jsonl.head",
        "audit.jsonl.lock",
    ]


def test_a_record_has_one_spelling_that_logs_on_disk_have() -> None:
    record = AuditRecord(
        1, "2026-01-02T03:04:05.000006Z", "mé", "did", "m", details={"b": 1, "a": 2}
    )
    values = asdict(record)
    del values["hash"]
    assert record.line() == json.dumps(asdict(record), sort_keys=True, separators=(",", ":"))
    assert "m\\u00e9" in record.line()
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    assert record.sealed().hash == hashlib.sha256(text.encode()).hexdigest()
    assert record.moment.isoformat() == "2026-01-02T03:04:05.000006+00:00"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "it is not a record"),
        (b"\xff", "it is not a record"),
        (b"[1]", "it is not a record"),
        (b"{}", "it is not a record"),
        (b'"text"', "it is not a record"),
        (b"[" * 100_000, "it is not a record"),
        (b'{"other": 1}', "it is not a record"),
    ],
)
def test_a_line_that_is_no_record_says_so(line: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_line(line)


def test_a_record_with_another_spelling_time_or_hash_is_none(file: Path) -> None:
    add(file, "1")
    line = file.read_bytes().strip()
    record = parse_line(line)
    for changed, said in (
        (line.replace(b'":', b'": ', 1), "spelled otherwise"),
        (replace(record, version="2").line().encode(), "does not belong to its hash"),
        (replace(record, hash="0" * 64).line().encode(), "does not belong to its hash"),
        (replace(record, hash="f" * 64).line().encode(), "does not belong to its hash"),
        (replace(record, time="yesterday").sealed().line().encode(), "it is not a record"),
        (replace(record, time=7).sealed().line().encode(), "it is not a record"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=said):
            parse_line(changed)


def test_details_that_json_lacks_are_texts(file: Path) -> None:
    with writing(file, never) as writer:
        made = writer.draft("me", "did", "m", details={"path": Path("a/b"), "n": 1})
        bare = writer.draft("me", "did", "m")
    assert made.details == {"path": "a/b", "n": 1}
    assert (bare.details, bare.version, bare.alias) == ({}, None, None)


def test_a_draft_that_another_record_came_before_is_refused(file: Path) -> None:
    with writing(file, never) as writer:
        stale, fresh = writer.draft("me", "did", "a"), writer.draft("me", "did", "b")
        assert writer.follows(stale)
        assert writer.append(fresh) is fresh
        assert not writer.follows(stale)
        with pytest.raises(AuditError, match="out of date"):
            writer.append(stale)
    assert [each.model for each in records_of(file)] == ["b"]


def test_what_was_announced_and_done_is_recorded(file: Path) -> None:
    with writing(file, never) as writer:
        draft = writer.draft("me", "promoted", "m", "1")
        with writer.announced(draft):
            assert parse_line(pending(file).read_bytes()) == draft
    assert records_of(file) == [draft]
    assert not pending(file).exists()


def test_what_a_check_refused_is_recorded_as_interrupted(file: Path) -> None:
    with writing(file, never) as writer:
        draft = writer.draft("me", "promoted", "m", "1", None, "champion", "0", "1")
        with pytest.raises(CheckFailedError), writer.announced(draft):
            raise CheckFailedError("no", "no")
    (found,) = records_of(file)
    assert (found.action, found.actor, found.model, found.version) == (INTERRUPTED, "me", "m", "1")
    assert found.details == {INTERRUPTED: draft.hash, "action": "promoted", "after": "1"}
    assert not pending(file).exists()


@pytest.mark.parametrize("was_done", [True, False])
def test_what_failed_otherwise_is_recorded_as_it_was_left(file: Path, was_done: bool) -> None:
    asked: list[AuditRecord] = []

    def done(record: AuditRecord) -> bool:
        asked.append(record)
        return was_done

    with writing(file, done) as writer:
        draft = writer.draft("me", "promoted", "m", "1")
        with pytest.raises(ZeroDivisionError), writer.announced(draft):
            raise ZeroDivisionError
    (found,) = records_of(file)
    assert found.action == ("promoted" if was_done else INTERRUPTED)
    assert asked == [draft]
    assert not pending(file).exists()


def test_what_cannot_be_settled_is_left_to_the_next_writer(file: Path) -> None:
    answers: Iterator[AuditError | bool] = iter([AuditError("the registry is away"), True])

    def done(_: AuditRecord) -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with writing(file, done) as writer:
        draft = writer.draft("me", "promoted", "m", "1")
        with pytest.raises(ZeroDivisionError), writer.announced(draft):
            raise ZeroDivisionError
        assert pending(file).exists()
    with writing(file, done):
        pass
    assert records_of(file) == [draft]
    assert not pending(file).exists()


def test_a_half_written_announcement_and_one_that_is_over_are_removed(file: Path) -> None:
    add(file, "1")
    pending(file).write_bytes(b'{"half')
    with writing(file, never):
        assert not pending(file).exists()
    pending(file).write_bytes(file.read_bytes().strip())  # recorded, and not removed
    with writing(file, never):
        assert not pending(file).exists()
    assert len(records_of(file)) == 1


def test_a_disk_that_refuses_is_one_clear_sentence(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with writing(file, never) as writer:
        draft = writer.draft("me", "did", "m")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(AuditError, match="cannot be written: No space left"):
            writer.append(draft)
        monkeypatch.undo()
        assert writer.follows(draft), "it was not acknowledged"


def test_each_record_is_on_the_disk_and_the_first_ones_folder_too(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    add(file, "1", "2")
    assert synced == ["audit.jsonl", "folder", "audit.jsonl"]


def test_a_log_that_cannot_be_locked_is_not_written_and_can_be_read(file: Path) -> None:
    add(file, "1")
    content = file.read_bytes()
    lock = file.with_name(f"{file.name}.lock")
    assert read_log(file) == content
    lock.unlink()
    lock.mkdir()
    with pytest.raises(AuditError, match="cannot be locked"), writing(file, never):
        pass
    assert read_log(file) == content
    assert read_log(file.with_name("none")) == b""
    assert not file.with_name("none.lock").exists()


@pytest.mark.parametrize("before", [0, 2])
def test_half_a_line_is_cut_off_and_noted_with_its_digest(file: Path, before: int) -> None:
    add(file, *(str(number) for number in range(before)))
    file.parent.mkdir(exist_ok=True)
    with file.open("ab") as stream:
        stream.write(b'{"half a li')

    add(file, "9")

    found = records_of(file)
    digest = hashlib.sha256(b'{"half a li').hexdigest()
    assert [each.version for each in found[before:]] == [None, "9"]
    assert found[before].details == {"torn_bytes": 11, "torn_sha256": digest}
    assert (found[before].action, found[before].actor) == (RECOVERED, "(recovery)")
    assert check_log(file.read_bytes(), read_head(file)).intact


@pytest.mark.parametrize("size", [1, 7, 300, 301, 100_000])
def test_the_logs_end_is_found_however_much_is_read_at_once(
    file: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(audit_log, "READ_BYTES", size)
    assert audit_log._last_line(file) == (None, b"")
    file.parent.mkdir()
    for content, expected in (
        (b"", (None, b"")),
        (b"torn", (None, b"torn")),
        (b"a\n", (b"a", b"")),
        (b"\n", (b"", b"")),
        (b"a\ntorn", (b"a", b"torn")),
        (b"a\nbc\n", (b"bc", b"")),
        (b"a\n" + b"b" * 900 + b"\n" + b"t" * 700, (b"b" * 900, b"t" * 700)),
        (b"a\n" * 400, (b"a", b"")),
    ):
        file.write_bytes(content)
        assert audit_log._last_line(file) == expected


def test_a_log_whose_end_is_not_what_the_head_says_takes_no_record(file: Path) -> None:
    add(file, "1", "2", "3")
    content, lines = file.read_bytes(), file.read_bytes().splitlines(keepends=True)
    for damaged, said in (
        (b"", "3 records were written"),
        (b"".join(lines[:2]), "ends at record 2, and 3 were written"),
        (content[:-3] + b"x}\n", "the last line of .* is damaged"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(AuditError, match=said), writing(file, never):
            pass
        assert file.read_bytes() == damaged
    file.unlink()
    with pytest.raises(AuditError, match="missing or empty"), writing(file, never):
        pass
    file.write_bytes(content)
    second = parse_line(lines[1].strip())
    head(file).write_text(json.dumps({"sequence": 2, "hash": second.hash, "log": second.log}))
    add(file, "4")  # a writer that was killed before it wrote the head
    assert len(records_of(file)) == 4
    head(file).unlink()
    add(file, "5")
    assert read_head(file) is not None


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"sequence": 1}', '{"a": 1}', "é"])
def test_a_damaged_head_is_one_clear_sentence(file: Path, content: str) -> None:
    add(file, "1")
    head(file).write_text(content, encoding="utf-8")
    with pytest.raises(AuditError, match="is damaged"):
        read_head(file)
    head(file).unlink()
    assert read_head(file) is None
    head(file).mkdir()
    with pytest.raises(AuditError, match="is damaged"):
        read_head(file)


def test_a_damaged_head_is_found_beside_what_else_is_wrong(project: Settings) -> None:
    file = audit_file(project)
    add(file, "1", "2")
    head(file).write_text("{")
    report = verify(project)
    assert (report.intact, report.records) == (False, 2)
    assert report.problems[0] == "the head file is missing"
    assert "is damaged" in report.problems[1]
    assert file == project.root / project.registry.audit_log


def lines_of(file: Path, count: int) -> list[bytes]:
    add(file, *(str(number) for number in range(1, count + 1)))
    return file.read_bytes().splitlines(keepends=True)


def test_what_is_wrong_is_said_once_and_where(file: Path) -> None:
    lines = lines_of(file, 4)
    last = read_head(file)
    assert last is not None

    def problems(*parts: bytes, at: Head | None = last) -> tuple[str, ...]:
        return check_log(b"".join(parts), at).problems

    assert problems(*lines) == ()
    assert check_log(b"", None).intact
    assert problems(*lines, at=None) == ("the head file is missing",)
    for other in ("!", "zzz"):
        at = replace(last, log=other)
        assert problems(*lines, at=at) == ("the head file is another log's",)
    assert problems(*lines, at=replace(last, hash="0")) == (
        "record 4 is not the one that the head file names",
    )
    assert problems(*lines, at=replace(last, hash="f" * 64)) == (
        "record 4 is not the one that the head file names",
    )
    assert problems(*lines[:3]) == ("the log ends at record 3; the head file names record 4",)
    assert problems() == ("the log ends at record 0; the head file names record 4",)
    expected = "lines were removed, inserted or reordered"
    assert problems(lines[0], *lines[2:]) == (
        f"line 2 holds record 3 where 2 was expected: {expected}",
    )
    assert problems(lines[0], lines[0], *lines[1:]) == (
        f"line 2 holds record 1 where 2 was expected: {expected}",
    )
    assert problems(lines[0], b"x\n", *lines[2:]) == ("line 2 was changed: it is not a record",)
    assert problems(b"x\n", *lines[1:]) == ("line 1 was changed: it is not a record",)
    changes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"log": "!"}, "line 4 belongs to another log"),
        ({"log": "zzz"}, "line 4 belongs to another log"),
        ({"previous": "0" * 64}, "line 4 does not follow the line before it"),
        ({"previous": "f" * 64}, "line 4 does not follow the line before it"),
    )
    for changed, said in changes:
        forged = replace(parse_line(lines[3].strip()), **changed).sealed()
        at = replace(last, hash=forged.hash)
        assert problems(*lines[:3], forged.line().encode() + b"\n", at=at) == (said,)


def test_a_torn_end_is_no_problem(file: Path) -> None:
    lines = lines_of(file, 2)
    report = check_log(b"".join(lines) + b"half", read_head(file))
    assert (report.intact, report.torn, report.records) == (True, True, 2)
    assert not check_log(b"".join(lines), read_head(file)).torn


def test_what_was_left_elsewhere_is_compared(file: Path) -> None:
    lines = lines_of(file, 3)
    records = records_of(file)

    def problems(sequence: int, digest: str, content: bytes = b"".join(lines)) -> tuple[str, ...]:
        return check_log(content, read_head(file), [Anchor(sequence, digest, "a tag")]).problems

    assert problems(2, records[1].hash) == ()
    assert problems(2, records[0].hash) == ("record 2 is not the one that a tag names",)
    assert problems(3, "0" * 64) == ("record 3 is not the one that a tag names",)
    assert problems(4, "x") == ("the log ends at record 3; a tag names record 4",)
    assert problems(2, records[1].hash, lines[0] + b"x\n" + lines[2]) == (
        "line 2 was changed: it is not a record",
        "record 2, which a tag names, is missing",
    )
    twice = [Anchor(9, "x", "a tag"), Anchor(9, "x", "a tag")]
    assert len(check_log(b"".join(lines), read_head(file), twice).problems) == 1


def test_a_move_that_did_not_happen_is_known_under_its_number(file: Path) -> None:
    with writing(file, never) as writer:
        draft = writer.draft("me", "promoted", "m", "1")
        with pytest.raises(CheckFailedError), writer.announced(draft):
            raise CheckFailedError("no", "no")
    anchor = Anchor(1, draft.hash, "a tag")
    assert check_log(file.read_bytes(), read_head(file), [anchor]).intact


def test_history_is_one_models_under_each_of_its_names(project: Settings) -> None:
    file = audit_file(project)
    with writing(file, never) as writer:
        for model, action, details in (
            ("oldest", "registered", {}),
            ("other", "registered", {}),
            ("old", RENAMED, {"before": "oldest"}),
            ("elsewhere", RENAMED, {"before": "other"}),
            ("new", RENAMED, {"before": "old"}),
            ("new", "tagged", {"before": "other"}),
        ):
            writer.append(writer.draft("me", action, model, details=details))
    records, problems = read_records(project)
    assert problems == []
    assert names_of(records, "new") == {"new", "old", "oldest"}
    assert names_of(records, "old") == {"old", "oldest"}
    assert names_of(records, "elsewhere") == {"elsewhere", "other"}
    found = history(project, "new")
    assert [each.model for each in found] == ["oldest", "old", "new", "new"]
    assert history(project) == records
    assert history(project, "nobody") == []


def test_the_champion_of_a_moment_is_the_last_move_until_then(file: Path) -> None:
    with writing(file, never) as writer:
        for model, alias, after in (
            ("a", "champion", "1"),
            ("a", "challenger", "7"),
            ("b", "champion", "5"),
            ("a", "champion", "2"),
            ("a", "champion", None),
            ("a", "champion", "3"),
        ):
            writer.append(writer.draft("me", "moved", model, None, None, alias, None, after))
    records = records_of(file)
    tick = timedelta(microseconds=1)

    def champion(moment: object, model: str | None = "a", alias: str = "champion") -> str | None:
        found = champion_on(records, model, moment, alias)  # type: ignore[arg-type]
        return found.after if found else None

    times = [record.moment for record in records]
    assert champion(times[0] - tick) is None
    assert [champion(moment) for moment in times] == ["1", "1", "1", "2", None, "3"]
    assert [champion(moment, "b") for moment in times[2:]] == ["5"] * 4
    assert champion(times[2], None) == "5", "where no model is named, all records count"
    assert champion(times[-1], "a", "challenger") == "7"
    assert champion(times[-1], "c") is None


def test_who_acts_is_the_setting_or_the_user_and_the_machine(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = socket.gethostname()
    assert actor(settings_of(project, actor="ci")) == "ci"
    named = settings_of(project, actor="")
    monkeypatch.setattr(getpass, "getuser", lambda: "ana")
    assert actor(named) == f"ana@{host}"
    for problem in (KeyError("uid not found"), OSError("no username set")):

        def nobody(problem: Exception = problem) -> str:
            raise problem

        monkeypatch.setattr(getpass, "getuser", nobody)
        assert actor(named) == f"uid-{os.getuid()}@{host}"


def test_a_lineage_shows_what_is_known() -> None:
    whole = Lineage("run", "snapshot", "abc+", "lock", "contract", 0, "key")
    table = lineage_table(whole, {"depth": 3, "rate": 0.1})
    for cell in (
        "run",
        "snapshot",
        "abc+",
        "lock",
        "contract",
        "| 0 |",
        "key",
        "depth=3, rate=0.1",
    ):
        assert cell in table
    less = lineage_table(replace(whole, commit="", key_id="", lock_digest=""), {})
    assert "not under git" in less
    assert "not signed" in less
    assert "lock (SHA-256)" not in less
    assert "parameters" not in less
