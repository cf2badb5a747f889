"""A check that goes on where the last one stopped says what one says that reads everything."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from goldpath.contract import Contract, load_contract
from goldpath.drift.estimates.confidence import rounded_probabilities
from goldpath.drift.reference import build_reference
from goldpath.drift.window_verdict import WindowJudge
from goldpath.jobs.drift.check import _way
from goldpath.jobs.drift.counted_log import count_new, kept_from, windows_of
from goldpath.jobs.drift.current_rows import Place, current_rows
from goldpath.jobs.drift.history import HistoryKey, JudgedWindow
from goldpath.jobs.drift.judged_windows import JudgedSource, Part, judge_parts
from goldpath.jobs.drift.kept_log import KeptLog, forget_kept, read_kept, units_file, write_kept
from goldpath.jobs.drift.new_lines import _lines
from goldpath.jobs.upkeep.log_compaction import compact_logs
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import served_table
from goldpath.model_version import ModelVersion
from goldpath.serving.log.erasure import erase_lines
from goldpath.serving.log.segments import segments
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog
from goldpath.settings import Settings

MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)
KEY = HistoryKey("1", "digest", "1d")


@dataclass
class Service:
    """A service that logs, and the checks of its log."""

    settings: Settings
    contract: Contract
    judge: WindowJudge
    random: np.random.Generator
    number: int = 0
    earlier: tuple[JudgedWindow, ...] = ()
    read: int = 0
    copies: int = 0
    shown: int = 10_000

    def answer(self, log: PredictionLog, at: datetime, rows: int, entity: str = "") -> None:
        """Log so many predictions within an hour from then on; every seventh by another version."""
        lines = []
        for _ in range(rows):
            self.number += 1
            lines.append(
                LoggedPrediction(
                    f"id-{self.number}",
                    (at + timedelta(seconds=float(self.random.uniform(0, 3600)))).isoformat(),
                    "2" if self.number % 7 == 0 else "1",
                    self.features(),
                    self.contract.target.classes[0],
                    float(self.random.beta(2, 5)),
                    entity or None,
                )
            )
        log.write(lines)

    def features(self) -> dict[str, object]:
        values = {
            "number": float(self.random.normal(3, 1)),
            "integer": int(self.random.integers(90)),
            "boolean": bool(self.random.integers(2)),
            "category": None,
        }
        return {
            each.name: str(self.random.choice(each.categories))
            if each.categories
            else values[each.type]
            for each in self.contract.features
        }

    def check(self, now: datetime, *, anew: bool = False) -> tuple[JudgedSource, list[Part]]:
        """What a check says; anew: one that has no counts of earlier ones."""
        bins = self.judge.reference.whole.bins
        kept = KeptLog() if anew else read_kept(self.settings.reports, KEY, bins)
        place = Place(
            self.settings, open_lakehouse(self.settings), self.contract,
            ModelVersion("churn", "1", "run", (), {}), set(), now, kept, self.earlier,
        )  # fmt: skip
        rows = current_rows(place, None, "service")
        assert rows.log is not None
        signals = {"score": rounded_probabilities(rows.features["prediction"].to_numpy())}
        counted = count_new(rows.log, rows.features, signals, bins, "1d", self.shown)
        parts = windows_of(counted, "1d", self.shown)
        judged = judge_parts(self.judge, parts, rows, self.earlier, now)
        if not anew:
            self.read, self.copies = rows.features.num_rows, rows.log.copies
            newest = judged.history[-1].verdict.start
            if judged.history[-1].is_final and newest is not None:
                counted = kept_from(counted, newest, "1d")
            write_kept(self.settings.reports, KEY, counted)
        return judged, parts

    def both(self, now: datetime) -> JudgedSource:
        """What a check says, which is what one says that reads everything."""
        (judged, parts), (expected, whole) = self.check(now), self.check(now, anew=True)
        assert [part.start for part in parts] == [part.start for part in whole]
        for part, each in zip(parts, whole, strict=True):
            assert part.profile is not None
            assert each.profile is not None
            assert part.count == each.count
            np.testing.assert_array_equal(part.profile.counts, each.profile.counts)
            np.testing.assert_array_equal(part.profile.missing, each.profile.missing)
            scores, expected_scores = part.tallies["score"], each.tallies["score"]
            np.testing.assert_array_equal(scores.values, expected_scores.values)
            np.testing.assert_array_equal(scores.counts, expected_scores.counts)
            by_value = [("prediction", "ascending")]
            assert part.rows.sort_by(by_value).equals(each.rows.sort_by(by_value))
        assert judged.decision == expected.decision
        assert judged.history == expected.history
        self.earlier = judged.history
        return judged


@pytest.fixture
def service(project: Settings) -> Service:
    contract = load_contract(project.root)
    random = np.random.default_rng(1)
    found = Service(project, contract, None, random)  # type: ignore[arg-type]
    rows = [{**found.features(), "prediction": float(random.beta(2, 5))} for _ in range(1500)]
    days = np.datetime64("2026-01-01", "s") + np.arange(1500) // 50 * np.timedelta64(1, "D")
    found.judge = WindowJudge(build_reference(pa.Table.from_pylist(rows), days))
    return found


@pytest.fixture
def log(service: Service) -> Iterator[PredictionLog]:
    found = PredictionLog(service.settings.root / service.settings.serving.prediction_log)
    yield found
    found.close()


def rows_of(found: JudgedSource) -> list[int]:
    return [each.verdict.rows for each in found.history]


def test_each_line_is_read_once_and_the_verdict_is_that_on_all_of_them(
    service: Service, log: PredictionLog
) -> None:
    service.shown = 40
    for hour in (2, 9):
        service.answer(log, MIDNIGHT + timedelta(hours=hour), 140)
    service.both(MIDNIGHT + timedelta(hours=12))
    assert service.read == 240

    service.answer(log, MIDNIGHT + timedelta(hours=12), 70)
    service.both(MIDNIGHT + timedelta(hours=13))
    assert service.read == 60, "the new lines of a segment that grew"
    assert rows_of(service.both(MIDNIGHT + timedelta(hours=13))) == [300]
    assert service.read == 0

    log.close()
    compact_logs(service.settings, service.contract, seal=False)
    assert segments(service.settings.root / service.settings.serving.prediction_log) == []
    service.both(MIDNIGHT + timedelta(hours=14))
    assert service.read == 0, "moved into the lake, and as they were counted"

    service.answer(log, MIDNIGHT + timedelta(days=1, hours=1), 350)
    found = service.both(MIDNIGHT + timedelta(days=1, hours=3))
    assert service.read == 300
    assert [each.is_final for each in found.history] == [True]
    service.answer(log, MIDNIGHT + timedelta(days=1, hours=5), 7)
    found = service.both(MIDNIGHT + timedelta(days=2, hours=1))
    assert service.read == 6
    assert rows_of(found) == [300, 306]
    bins = service.judge.reference.whole.bins
    kept = read_kept(service.settings.reports, KEY, bins)
    assert kept.rows == 306, "the day before is judged, and not kept any more"
    assert sum(unit.shown.num_rows for unit in kept.units.values()) == 40


def test_what_changed_is_counted_again(service: Service, log: PredictionLog) -> None:
    service.answer(log, MIDNIGHT + timedelta(hours=2), 140)
    service.answer(log, MIDNIGHT + timedelta(hours=3), 7, entity="C-7")
    service.answer(log, MIDNIGHT + timedelta(hours=4), 140)
    noon = MIDNIGHT + timedelta(hours=12)
    assert rows_of(service.both(noon)) == [246]
    folder = service.settings.root / service.settings.serving.prediction_log

    assert erase_lines(folder, "C-7") == 7
    service.answer(log, MIDNIGHT + timedelta(hours=5), 7)  # it grows at the same time
    assert rows_of(service.both(noon)) == [246]

    (file,) = segments(folder)
    with file.open("ab") as content:
        content.write(b'{"prediction_id": "torn", "at": "20')
    assert rows_of(service.both(noon)) == [246]
    with file.open("ab") as content:
        content.write(b'\n{"no": "line"}\n')
    assert rows_of(service.both(noon)) == [246]

    lines = file.read_bytes()
    log.close()
    compact_logs(service.settings, service.contract, seal=False)
    file.with_name("2026-03-10-copy.jsonl").write_bytes(lines)  # a backup that came back
    assert rows_of(service.both(noon)) == [246]
    compact_logs(service.settings, service.contract, seal=False)
    assert rows_of(service.both(noon)) == [246]

    # What another machine moved into the lake late, and what left it.
    service.answer(log, MIDNIGHT + timedelta(hours=2), 7)
    log.close()
    compact_logs(service.settings, service.contract, seal=False)
    assert rows_of(service.both(noon)) == [252]
    open_lakehouse(service.settings).delete(
        served_table(service.contract), "prediction_id", ["id-1", "id-2"]
    )
    assert rows_of(service.both(noon)) == [250]
    service.both(noon)
    assert service.read == 0


def test_counts_that_cannot_be_read_are_made_again_and_it_is_said(
    service: Service, log: PredictionLog, capsys: pytest.CaptureFixture[str]
) -> None:
    service.answer(log, MIDNIGHT, 280)
    noon = MIDNIGHT + timedelta(hours=12)
    service.both(noon)
    file, bins = units_file(service.settings.reports), service.judge.reference.whole.bins
    assert file.stat().st_mode & 0o077 == 0, "it holds rows"

    file.with_suffix(".part").write_bytes(b"what a check left that was killed")
    service.both(noon)
    assert service.read == 0
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    service.both(noon)
    assert service.read == 240
    assert "cannot be read, so the log is counted anew" in capsys.readouterr().err
    assert read_kept(service.settings.reports, replace(KEY, model_version="2"), bins).rows == 0
    assert "another version" in capsys.readouterr().err

    service.earlier = ()  # without a history, earlier windows are wanted again
    kept = replace(read_kept(service.settings.reports, KEY, bins), first=10**6)
    write_kept(service.settings.reports, KEY, kept)
    service.both(noon)
    assert service.read == 240
    forget_kept(service.settings.reports)
    service.both(noon)
    assert service.read == 240


def test_counts_of_another_way_of_counting_are_not_added_to(service: Service) -> None:
    bins = service.judge.reference.whole.bins
    reports = service.settings.reports
    estimator: Any = SimpleNamespace(why_not="")
    rows = pa.table({"x": [1.0, 2.0]})
    kept = KeptLog(first=5)
    way = _way(rows, estimator)
    write_kept(reports, KEY, kept, way)

    assert read_kept(reports, KEY, bins, way).first == 5
    compared_otherwise = _way(pa.table({"x": [1.0, 4.0]}), estimator)
    uncalibrated: Any = SimpleNamespace(why_not="calibration error 0.2")
    without_estimate = _way(rows, uncalibrated)
    for other in (compared_otherwise, without_estimate):
        assert read_kept(reports, KEY, bins, other).first == 0


def test_a_segment_that_was_cut_meanwhile_is_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "segment"
    file.write_bytes(b"one\ntwo\n")

    assert list(_lines(file, size=100)) == [b"one\n", b"two\n"]
    assert list(_lines(tmp_path / "gone", size=100)) == []


def test_lines_copied_into_a_second_segment_after_a_check_count_once(
    service: Service, log: PredictionLog
) -> None:
    service.answer(log, MIDNIGHT + timedelta(hours=2), 140)
    service.answer(log, MIDNIGHT + timedelta(hours=3), 140)
    noon = MIDNIGHT + timedelta(hours=12)
    assert rows_of(service.both(noon)) == [240]
    folder = service.settings.root / service.settings.serving.prediction_log
    (file,) = segments(folder)
    lines = file.read_bytes().splitlines(keepends=True)

    file.with_name("2026-03-10-copy.jsonl").write_bytes(b"".join(lines[:7]))
    assert rows_of(service.both(noon)) == [240]
    assert (service.copies, service.read) == (6, 120), "the hour of the copied lines, again"
    service.both(noon)
    assert (service.copies, service.read) == (0, 0)

    service.answer(log, MIDNIGHT + timedelta(hours=2), 7)
    assert rows_of(service.both(noon)) == [246]
    log.close()
    compact_logs(service.settings, service.contract, seal=False)
    assert rows_of(service.both(noon)) == [246]


def test_a_copied_segment_is_found_by_the_ids_that_are_kept_of_many(
    service: Service, log: PredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goldpath.jobs.drift.kept_log.MOST_IDS", 20)
    monkeypatch.setattr("goldpath.jobs.drift.counted_log.MOST_IDS", 20)
    service.answer(log, MIDNIGHT + timedelta(hours=2), 280)
    noon = MIDNIGHT + timedelta(hours=12)
    service.both(noon)
    folder = service.settings.root / service.settings.serving.prediction_log
    (file,) = segments(folder)

    file.with_name("2026-03-10-copy.jsonl").write_bytes(file.read_bytes())

    assert rows_of(service.both(noon)) == [240]
    kept = read_kept(service.settings.reports, KEY, service.judge.reference.whole.bins)
    assert {len(unit.ids) for unit in kept.units.values()} <= {20, 0}
