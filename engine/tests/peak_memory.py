"""How much memory reading a source takes, measured in a process of its own."""

import subprocess
import sys

from goldpath.raw_source import Source

SCRIPT = """
import re, sys
from pathlib import Path
from goldpath.raw_source import Source
from goldpath.sources.read import list_parts, open_part

def peak():
    # Not ru_maxrss: it begins with the size of the process that started this one.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def rows_of(text):
    (part,) = list_parts(Source.model_validate_json(text), Path.cwd())
    with open_part(part) as reader:
        return sum(batch.num_rows for batch in reader)

*first, source = sys.argv[1:]
for each in first:
    rows_of(each)
before = peak()
rows = rows_of(source)
print(rows, (peak() - before) * 1024)
"""


def rows_and_growth(source: Source, *, first: Source | None = None) -> tuple[int, int]:
    """The number of rows of a source's only part, and by how many bytes the process grew.

    Args:
        source: What is measured.
        first: A small source that is read before, so that its libraries are loaded by then.
    """
    read = [each.model_dump_json() for each in (first, source) if each is not None]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *read], capture_output=True, text=True, check=True
    )
    rows, grown = map(int, done.stdout.split())
    return rows, grown
