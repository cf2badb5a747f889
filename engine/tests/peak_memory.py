"""How much memory reading a source takes, measured in a process of its own."""

import subprocess
import sys

from goldpath.raw_source import Source

SCRIPT = """
import resource, sys
from pathlib import Path
from goldpath.raw_source import Source
from goldpath.sources.read import list_parts, open_part

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

source = Source.model_validate_json(sys.argv[1])
before = peak()
(part,) = list_parts(source, Path.cwd())
with open_part(part) as reader:
    rows = sum(batch.num_rows for batch in reader)
print(rows, (peak() - before) * 1024)
"""


def rows_and_growth(source: Source) -> tuple[int, int]:
    """The number of rows of a source's only part, and by how many bytes the process grew."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, source.model_dump_json()],
        capture_output=True,
        text=True,
        check=True,
    )
    rows, grown = map(int, done.stdout.split())
    return rows, grown
