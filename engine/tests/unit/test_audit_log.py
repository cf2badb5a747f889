"""The audit log's file, head and pending draft after each way in which a writer may end."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from goldpath.errors import CheckFailedError
from goldpath.trust import audit_log
from goldpath.trust.audit import check_log
from goldpath.trust.audit_log import INTERRUPTED, RECOVERED, read_head, read_log, writing
from goldpath.trust.audit_record import FIRST, AuditError, AuditRecord, Head, parse_line

from ..audit_logs import add, head, never, pending, records_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "audit.jsonl"


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
