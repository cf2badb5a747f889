"""Reading one entity's features from the embedded online store, against a raw SQLite SELECT.

Both read the same rows of the same file by the same keys, in one process, in turn (A B A B …). The
raw one hands over time and text as SQLite has them; the project also reads the text, checks the age
and names the features. The ratio is the median of the pairwise ratios of CPU seconds.

    python benchmarks/online.py PROJECT
"""

import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from baked import find_project

ENTITIES, READS, PAIRS = 50_000, 5_000, 9
RESULT = Path(__file__).parent / "results" / "online.json"
SELECT = "SELECT event_time, value FROM online WHERE entity_key = ? AND feature_view = ?"


def main() -> int:
    """Measure in the project's environment, write results/online.json; 2 without a project."""
    project = find_project()
    answer = subprocess.run(
        [str(project.python), __file__, "--measure"],
        cwd=project.root,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
    )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(answer.stdout, encoding="utf-8")
    print(answer.stdout, end="")
    return 0


def measure() -> dict[str, object]:
    """Fill a store with 50 000 entities and read random ones."""
    from goldpath.contract import load_contract
    from goldpath.features.online.sqlite import SqliteOnlineStore
    from goldpath.features.serving import OnlineReader
    from goldpath.settings import load_settings

    settings = load_settings(Path.cwd())
    contract = load_contract(settings.root)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "online.db"
        store = SqliteOnlineStore(file)
        reader = OnlineReader(settings, contract, store)
        view = reader.views[0]
        keys = [f"C{number:06d}" for number in range(ENTITIES)]
        started = time.perf_counter()
        store.write_batch(view.name, [example(contract, key) for key in keys])
        write_seconds = time.perf_counter() - started
        connection = sqlite3.connect(file)

        def ours(key: str) -> object:
            return reader.get([key])[0].values

        def theirs(key: str) -> object:
            return connection.execute(SELECT, (key, view.name)).fetchone()

        for key in keys[:100]:
            if ours(key) != json.loads(theirs(key)[1]):
                raise SystemExit(f"the two readings of {key} differ")
        dice = random.Random(1)  # noqa: S311
        pairs = []
        for _ in range(PAIRS):
            chosen = dice.choices(keys, k=READS)
            pairs.append((read(ours, chosen), read(theirs, chosen)))
        connection.close()
    mine, raw = ([pair[side] for pair in pairs] for side in (0, 1))
    return {
        "name": "online",
        "ratio": round(statistics.median(a[0] / b[0] for a, b in pairs), 3),
        "unit": "CPU seconds of get_online_features / CPU seconds of a raw SQLite SELECT",
        "n": PAIRS,
        "details": {
            "p50_us": middle([run[1] for run in mine]),
            "p99_us": middle([run[2] for run in mine]),
            "reads_a_second": round(READS / statistics.median(run[3] for run in mine)),
            "raw_p50_us": middle([run[1] for run in raw]),
            "raw_p99_us": middle([run[2] for run in raw]),
            "raw_reads_a_second": round(READS / statistics.median(run[3] for run in raw)),
            "writes_a_second": round(ENTITIES / write_seconds),
            "entities": ENTITIES,
            "features": len(view.features),
            "reads_in_a_run": READS,
            "sqlite": sqlite3.sqlite_version,
            "python": sys.version.split()[0],
        },
    }


def example(contract: object, key: str) -> object:
    """An entity with values as the contract has them."""
    from goldpath.features.online.store import OnlineRow

    dice = random.Random(key)  # noqa: S311
    kinds = {
        "number": lambda _: dice.uniform(0, 1000),
        "integer": lambda _: dice.randint(0, 600),
        "boolean": lambda _: dice.random() < 0.5,
        "category": lambda feature: dice.choice(feature.categories or ("one", "two")),
    }
    values = {feature.name: kinds[feature.type](feature) for feature in contract.features}
    return OnlineRow(key, datetime(2026, 1, 1) + timedelta(dice.random()), values)  # noqa: DTZ001


def read(reader: object, keys: list[str]) -> tuple[float, float, float, float]:
    """CPU seconds, p50 and p99 in microseconds, and wall seconds of reading some keys."""
    clock, spent = time.perf_counter_ns, []
    cpu, wall = time.process_time(), time.perf_counter()
    for key in keys:
        started = clock()
        reader(key)
        spent.append(clock() - started)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    cuts = statistics.quantiles(spent, n=100)
    return cpu, cuts[49] / 1000, cuts[98] / 1000, wall


def middle(values: list[float]) -> float:
    """The median, short enough to read."""
    return round(statistics.median(values), 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(), indent=2))
    else:
        sys.exit(main())
