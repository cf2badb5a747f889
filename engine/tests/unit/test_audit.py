"""The audit log: nothing acknowledged is lost, and no change to it goes unseen."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from goldpath.registry.recording import append_record
from goldpath.settings import Settings
from goldpath.trust.audit import Anchor, audit_file, champion_on, check_log, history, verify
from goldpath.trust.audit_log import RECOVERED, read_head, writing
from goldpath.trust.audit_record import FIRST, AuditError, Head, parse_line

WRITER = """
import sys
from pathlib import Path
from goldpath.registry.recording import append_record
from goldpath.settings import Settings

settings = Settings(root=Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    record = append_record(settings, "tagged", "churn", str(number), {"writer": sys.argv[3]})
    print(record.sequence, flush=True)
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    return Settings(root=tmp_path)


def write(settings: Settings, count: int) -> tuple[bytes, Head]:
    for number in range(count):
        append_record(settings, "tagged", "churn", str(number), {"reason": f"nö {number}"})
    head = read_head(audit_file(settings))
    assert head is not None
    return audit_file(settings).read_bytes(), head


def test_untouched_log_is_intact(settings: Settings) -> None:
    write(settings, 5)

    report = verify(settings)

    assert report.intact
    assert not report.torn
    assert report.records == 5
    assert [record.sequence for record in history(settings)] == [1, 2, 3, 4, 5]


def test_log_that_was_never_written_is_intact(settings: Settings) -> None:
    report = verify(settings)
    assert (report.intact, report.records, report.torn) == (True, 0, False)


@pytest.fixture(scope="module")
def log_and_head(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Head]:
    root = tmp_path_factory.mktemp("log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_ROOT", str(root))
        return write(Settings(root=root), 6)


@given(data=st.data())
@hypothesis_settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_changed_byte_is_found(log_and_head: tuple[bytes, Head], data: st.DataObject) -> None:
    content, head = log_and_head
    position = data.draw(st.integers(0, len(content) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[position]))

    changed = content[:position] + bytes([value]) + content[position + 1 :]

    assert not check_log(changed, head).intact


@given(data=st.data())
@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_dropped_inserted_and_reordered_lines_are_found(
    log_and_head: tuple[bytes, Head], data: st.DataObject
) -> None:
    content, head = log_and_head
    lines = content.splitlines(keepends=True)
    first, second = data.draw(st.lists(st.integers(0, 5), min_size=2, max_size=2, unique=True))

    dropped = [line for index, line in enumerate(lines) if index != first]
    repeated = [*lines[:first], lines[second], *lines[first:]]
    swapped = list(lines)
    swapped[first], swapped[second] = swapped[second], swapped[first]

    for changed in (dropped, repeated, swapped, lines[:first], []):
        assert not check_log(b"".join(changed), head).intact


def test_a_record_that_was_sealed_anew_breaks_the_chain(
    log_and_head: tuple[bytes, Head],
) -> None:
    content, head = log_and_head
    lines = content.splitlines()
    forged = replace(parse_line(lines[2]), version="99").sealed().line().encode()
    last = replace(parse_line(lines[-1]), previous=FIRST).sealed()

    inside = check_log(b"\n".join([*lines[:2], forged, *lines[3:], b""]), head)
    at_the_end = check_log(
        b"\n".join([*lines[:-1], last.line().encode(), b""]), replace(head, hash=last.hash)
    )
    damaged = check_log(b"\n".join([*lines[:2], b"{}", *lines[3:], b""]), head)

    assert inside.problems == ("line 4 does not follow the line before it",)
    assert at_the_end.problems == (f"line {len(lines)} does not follow the line before it",)
    assert damaged.problems == ("line 3 was changed: it is not a record",)


def test_rewritten_log_is_found_by_the_anchor_in_mlflow(settings: Settings) -> None:
    write(settings, 3)
    last = history(settings)[-1]
    anchor = Anchor(last.sequence, last.hash, "MLflow's tag")
    assert verify(settings, [anchor]).intact
    for name in audit_file(settings).parent.iterdir():
        name.unlink()
    write(settings, 3)  # a whole new chain, with its own head

    report = verify(settings, [anchor])

    assert not report.intact
    assert "record 3 is not the one that MLflow's tag names" in report.problems


def test_log_whose_end_was_cut_takes_no_further_record(settings: Settings) -> None:
    content, _ = write(settings, 3)
    lines = content.splitlines(keepends=True)
    audit_file(settings).write_bytes(b"".join(lines[:2]))

    with pytest.raises(AuditError, match="ends at record 2, and 3 were written"):
        append_record(settings, "tagged", "churn")

    assert verify(settings).problems == ("the log ends at record 2; the head file names record 3",)


def test_half_a_line_is_removed_and_noted_by_the_next_writer(settings: Settings) -> None:
    content, _ = write(settings, 2)
    audit_file(settings).write_bytes(content + b'{"action":"promo')
    assert verify(settings).intact
    assert verify(settings).torn

    append_record(settings, "promoted", "churn", "2")

    records = history(settings)
    assert [record.action for record in records] == ["tagged", "tagged", RECOVERED, "promoted"]
    assert records[2].details["torn_bytes"] == 16
    assert verify(settings).intact


def test_announced_act_that_failed_is_recorded_as_interrupted(settings: Settings) -> None:
    with writing(audit_file(settings), lambda _: False) as writer:
        draft = writer.draft("me", "promoted", "churn", "2")
        with pytest.raises(OSError, match="no net"), writer.announced(draft):
            raise OSError("no net")

    (record,) = history(settings)
    assert record.action == "interrupted"
    assert record.details["interrupted"] == draft.hash
    assert verify(settings, [Anchor(1, draft.hash, "the ledger")]).intact


@pytest.mark.parametrize("done", [True, False])
def test_announced_act_of_a_killed_process_is_settled_by_the_next(
    settings: Settings, done: bool
) -> None:
    file = audit_file(settings)
    append_record(settings, "tagged", "churn")
    with writing(file, lambda _: False) as writer:
        draft = writer.draft("me", "promoted", "churn", "2")
        file.with_name(f"{file.name}.pending").write_text(draft.line())  # and then kill -9

    with writing(file, lambda record: done and record == draft):
        pass

    assert history(settings)[-1].action == ("promoted" if done else "interrupted")
    assert verify(settings).intact


def test_champion_on_a_date(settings: Settings) -> None:
    began = datetime.now(UTC)
    times = []
    with writing(audit_file(settings), lambda _: False) as writer:
        before = None
        for version in ("1", "2", None, "3"):
            move = writer.draft(
                "me", "promoted", "churn", version, None, "champion", before, version
            )
            writer.append(move)
            writer.append(writer.draft("me", "tagged", "other", "9"))
            times.append(datetime.now(UTC))
            before = version
    records = history(settings)

    def champion(moment: datetime) -> str | None:
        found = champion_on(records, "churn", moment)
        return found.after if found else None

    assert [champion(moment) for moment in times] == ["1", "2", None, "3"]
    assert champion(began - timedelta(days=1)) is None
    assert champion_on(records, "other", times[-1]) is None


def start_writer(root: Path, count: int, name: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), str(count), name],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MLOPS_ROOT": str(root), "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_two_processes_write_one_chain(settings: Settings) -> None:
    writers = [start_writer(settings.root, 40, name) for name in ("a", "b")]
    acknowledged = [line for writer in writers for line in writer.communicate()[0].split()]

    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(map(int, acknowledged)) == list(range(1, 81))
    assert verify(settings).intact


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_by_kill_9(settings: Settings) -> None:
    acknowledged = 0
    for delay in (0.0, 0.011, 0.023, 0.037, 0.05):
        writer = start_writer(settings.root, 100_000, "killed")
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline())
        time.sleep(delay)
        os.kill(writer.pid, signal.SIGKILL)
        lines = writer.stdout.read().split("\n")
        writer.stdout.close()
        writer.wait()
        # The last line may be half of one: it was being printed.
        acknowledged = max([acknowledged, *map(int, filter(None, lines[:-1]))])
        assert verify(settings).intact
        assert len(history(settings)) >= acknowledged

    append_record(settings, "tagged", "churn")
    assert verify(settings).intact


def test_records_are_read_by_other_programs_too(settings: Settings) -> None:
    content, _ = write(settings, 1)

    values = json.loads(content)

    assert (values["sequence"], values["model"], values["version"]) == (1, "churn", "0")
    assert values["details"] == {"reason": "nö 0"}
