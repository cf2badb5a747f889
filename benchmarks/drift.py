"""What it costs to judge a million rows of 25 columns, beside Evidently's DataDriftPreset.

The rows come from a Parquet file. Ours counts every row over the bins of a reference of as many
rows and judges the counts; then it judges a window that is the sum of 24 profiles. Evidently gets
both frames ready in memory. A day of as many rows in the service's log is checked three times: by a
check that knows nothing of it, by one that finds nothing new, and by one that finds 10 000 new
lines. Each runs in a process of its own. Figures are CPU seconds, and the process's largest memory.

    python benchmarks/drift.py [--rows 1000000] [--ours-only]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from drift_columns import draw

RESULT = Path(__file__).parent / "results" / "drift.json"
PART = 250_000
MIDNIGHT = 1_773_100_800
"""The start of 10 March 2026 in UTC."""
MOST_CPU, MOST_GB, LEAST_RATIO, MOST_SECONDS_MERGED = 2.5, 2.0, 25.0, 0.2


def main() -> int:
    """Print the figures and write results/drift.json; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--ours-only", action="store_true", help="count and judge so many rows; the rest is kept"
    )
    parser.add_argument("--measure", nargs=2, metavar=("METHOD", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        method, folder = arguments.measure
        measures = {"goldpath": _ours, "log": _log, "Evidently": _evidently}
        figures = measures[method](Path(folder))
        print(json.dumps(figures))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), arguments.rows)
        found = {"goldpath": _run("goldpath", folder)}
        if not arguments.ours_only:
            found |= {method: _run(method, folder) for method in ("log", "Evidently")}
    ours = found["goldpath"]
    million = arguments.rows / 1e6
    figures = {
        "rows": arguments.rows,
        "CPU seconds a million rows": round(ours["count"] / million, 3),
        **{
            name: {key: round(value, 4) for key, value in each.items()}
            for name, each in found.items()
        },
    }
    broken = []
    if ours["count"] / million > MOST_CPU:
        broken.append(f"more than {MOST_CPU} CPU seconds a million rows")
    if ours["peak GB"] > MOST_GB:
        broken.append(f"more than {MOST_GB} GB")
    if ours["judge 24 hours"] > MOST_SECONDS_MERGED:
        broken.append(f"more than {MOST_SECONDS_MERGED} seconds from hourly profiles")
    if arguments.ours_only:
        kept = json.loads(RESULT.read_text(encoding="utf-8"))
        kept["details"][f"{arguments.rows} rows"] = {**figures, "broken": broken}
        return _keep(kept, broken)
    if found["log"]["nothing new"] > MOST_SECONDS_MERGED:
        broken.append(f"more than {MOST_SECONDS_MERGED} seconds for a log without new lines")
    ratio = round(found["Evidently"]["run"] / (ours["count"] + ours["judge"]), 1)
    if ratio < LEAST_RATIO:
        broken.append(f"less than {LEAST_RATIO} times below Evidently")
    figures["broken"] = broken
    document = {
        "name": "drift",
        "ratio": ratio,
        "unit": "CPU seconds of Evidently's DataDriftPreset / CPU seconds of a check",
        "n": arguments.rows,
        "details": figures,
    }
    return _keep(document, broken)


def _keep(document: dict[str, Any], broken: list[str]) -> int:
    text = json.dumps(document, indent=1)
    RESULT.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if broken else 0


def _write(folder: Path, rows: int) -> None:
    for seed, name in enumerate(("reference", "current")):
        random = np.random.default_rng(seed)
        writer = None
        for start in range(0, rows, PART):
            part = draw(random, min(PART, rows - start))
            writer = writer or pq.ParquetWriter(folder / f"{name}.parquet", part.schema)
            writer.write_table(part)
        if writer is not None:
            writer.close()


def _run(method: str, folder: str) -> dict[str, float]:
    answer = subprocess.run(
        [sys.executable, __file__, "--measure", method, folder],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DO_NOT_TRACK": "1"},
    )
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def _ours(folder: Path) -> dict[str, float]:
    from goldpath.drift.bins import choose_bins
    from goldpath.drift.counts import count_rows
    from goldpath.drift.reference import Reference
    from goldpath.drift.window_verdict import WindowJudge

    first = next(pq.ParquetFile(folder / "reference.parquet").iter_batches(200_000))
    bins = choose_bins(pa.Table.from_batches([first]))
    whole = count_rows(bins, _pieces(folder / "reference.parquet"))
    reference = Reference(whole, "1d", "none", {}, {}, None)
    WindowJudge(reference).judge(whole)  # SciPy's first call
    began = time.process_time()
    window = count_rows(bins, _pieces(folder / "current.parquet"))
    counted = time.process_time()
    WindowJudge(reference).judge(window)
    judged = time.process_time()
    hours = [window - (window - window) for _ in range(24)]
    merged = time.process_time()
    day = hours[0]
    for hour in hours[1:]:
        day += hour
    WindowJudge(reference).judge(day)
    return {
        "count": counted - began,
        "judge": judged - counted,
        "judge 24 hours": time.process_time() - merged,
        "peak GB": _peak(),
    }


def _pieces(file: Path) -> Iterator[pa.RecordBatch]:
    """The rows, read as the engine reads a file: otherwise Arrow holds what it has read before."""
    return pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20).iter_batches(65_536)


def _log(folder: Path) -> dict[str, float]:
    """Checks of a day of the service's log.

    Without what each check has beside it: its start, the model, and the lake's opening.
    """
    from goldpath.contract import parse_contract
    from goldpath.drift.bins import choose_bins
    from goldpath.drift.counts import count_rows
    from goldpath.drift.estimates.confidence import rounded_probabilities
    from goldpath.drift.reference import Reference
    from goldpath.drift.window_verdict import WindowJudge
    from goldpath.jobs.drift.counted_log import count_new, windows_of
    from goldpath.jobs.drift.history import HistoryKey
    from goldpath.jobs.drift.kept_log import read_kept, write_kept
    from goldpath.jobs.drift.new_lines import Log, read_new
    from goldpath.lake.connection import open_lakehouse
    from goldpath.settings import load_settings

    rows = pq.ParquetFile(folder / "current.parquet")
    names = rows.schema_arrow.names
    kinds = {name: "number" if name.startswith("number") else "category" for name in names}
    features = "".join(f"  - {{name: {name}, type: {kind}}}\n" for name, kind in kinds.items())
    (folder / "config").mkdir()
    head = "dataset: rows\nproblem: regression\nsource: {path: rows.csv}\ntarget: {column: y}\n"
    (folder / "config" / "project.yaml").write_text(f"{head}features:\n{features}", "utf-8")
    contract = parse_contract((folder / "config" / "project.yaml").read_text("utf-8"))
    logs = folder / "logs"
    logs.mkdir()
    written = _write_log(logs, rows, 0)
    whole = next(rows.iter_batches(200_000))
    sample = pa.Table.from_batches([whole]).append_column(
        "prediction", pa.array(np.random.default_rng(2).beta(2, 5, whole.num_rows))
    )
    bins = choose_bins(sample)
    reference = Reference(count_rows(bins, sample), "1d", "none", {}, {}, None)
    lakehouse, key = open_lakehouse(load_settings(folder)), HistoryKey("1", bins.digest, "1d")
    WindowJudge(reference).judge(reference.whole)

    def check() -> float:
        began = time.process_time()
        log = Log(logs, lakehouse, contract, "1", MIDNIGHT // 3600, 3600)
        new = read_new(log, read_kept(folder, key, bins))
        features = new.rows.select(names).append_column("prediction", new.rows["score"])
        signals = {"score": rounded_probabilities(new.rows["score"].to_numpy())}
        counted = count_new(new, features, signals, bins, "1d", 5_000)
        (day,) = windows_of(counted, "1d", 5_000)
        if day.profile is None or day.count != written:
            raise ValueError(f"{day.count} of {written} lines were counted")
        WindowJudge(reference).judge(day.profile)
        write_kept(folder, key, counted)
        return time.process_time() - began

    found = {"everything": check(), "nothing new": check(), "peak GB": _peak()}
    written += _write_log(logs, pq.ParquetFile(folder / "reference.parquet"), written, 10_000)
    kept = (folder / "drift" / "service.units.parquet").stat().st_size / 1e6
    return {**found, "10 000 new lines": check(), "kept MB": kept}


def _write_log(logs: Path, rows: pq.ParquetFile, number: int, most: int = 0) -> int:
    """The rows as lines of one day, a segment for each part; says how many lines were written."""
    random = np.random.default_rng(number)
    total = most or rows.metadata.num_rows
    written = 0
    for batch in rows.iter_batches(min(total, 40_000)):
        lines = []
        for row, score in zip(batch.to_pylist(), random.beta(2, 5, len(batch)), strict=True):
            second, part = divmod(written * 86_400_000 // total, 1000)
            hour, rest = divmod(second, 3600)
            at = f"2026-03-10T{hour:02}:{rest // 60:02}:{rest % 60:02}.{part:03}+00:00"
            line = {
                "prediction_id": f"{number + written:032x}",
                "at": at,
                "model_version": "1",
                "features": row,
                "prediction": float(score),
                "score": float(score),
            }
            lines.append(json.dumps(line))
            written += 1
        file = logs / f"2026-03-10-{number + written:09}.jsonl"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        if written == total:
            break
    return written


def _evidently(folder: Path) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        frames = [
            pq.read_table(folder / f"{name}.parquet").to_pandas()
            for name in ("current", "reference")
        ]
        numbers = [name for name in frames[0] if name.startswith("number")]
        definition = DataDefinition(
            numerical_columns=numbers,
            categorical_columns=[name for name in frames[0] if name not in numbers],
        )
        sides = [Dataset.from_pandas(frame, data_definition=definition) for frame in frames]
        began = time.process_time()
        Report([DataDriftPreset()]).run(*sides)
        return {"run": time.process_time() - began, "peak GB": _peak()}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    sys.exit(main())
