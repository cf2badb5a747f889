"""How many threads the learners' libraries may use."""

import contextlib
from collections.abc import Iterator

PARALLEL_ROWS = 100_000


@contextlib.contextmanager
def sensible_threads(rows: int) -> Iterator[None]:
    """One OpenMP thread for small data.

    Gradient boosting opens and closes a parallel region for each tree, in learning and in scoring;
    on 16 000 rows and two cores that another process uses too, its spinning threads took ten times
    as long as one thread.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1 if rows < PARALLEL_ROWS else None):
        yield


def usable_cores() -> int:
    """Cores within the limits of a container (cgroup), an affinity and `LOKY_MAX_CPU_COUNT`.

    `os.cpu_count()` names all of a machine's: in a container with two of 64 it would start 64
    threads for them.
    """
    from joblib import cpu_count  # costs more than most commands take to start

    return int(cpu_count())
