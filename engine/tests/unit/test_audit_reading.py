"""What an audit log says: whether it is whole, and what it tells of a model."""

import getpass
import os
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from goldpath.errors import CheckFailedError
from goldpath.settings import RegistrySettings, Settings
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
from goldpath.trust.audit_log import read_head, writing
from goldpath.trust.audit_record import Head, parse_line
from goldpath.trust.lineage import Lineage, lineage_table

from ..audit_logs import add, head, never, records_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "audit.jsonl"


def settings_of(project: Settings, **registry: object) -> Settings:
    section = RegistrySettings.model_validate({**project.registry.model_dump(), **registry})
    return project.model_copy(update={"registry": section})


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
