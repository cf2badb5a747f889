"""One function over many partitions: on this machine, or on a cluster of Ray.

The seam knows nothing of batch inference. A function gets a partition and returns what is small, a
count or a name; rows go through the lake. It is called in a thread here and in a worker process of
Ray there, so what takes memory or cores it does in a process of its own.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from goldpath.errors import ProjectError
from goldpath.presentation import step

Partition = TypeVar("Partition")
Result = TypeVar("Result")

ADDRESS_VARIABLE = "RAY_ADDRESS"
"""Ray's own: a cluster that is there already."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
"""Ray reports its use to its makers where nobody says otherwise."""
ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""As on macOS and Windows: a node of 127.0.0.1, whose processes listen there and nowhere else."""


class RunnerError(ProjectError):
    """A runner is not there, or cannot be used."""


@dataclass(frozen=True)
class Outcome(Generic[Partition, Result]):
    """What became of one partition.

    Attributes:
        partition: The partition.
        result: What the function returned; None where it failed.
        error: What it raised; None where it returned.
    """

    partition: Partition
    result: Result | None
    error: Exception | None


class Runner(Protocol):
    """Where a function is called with each partition."""

    def outcomes(
        self, function: Callable[[Partition], Result], partitions: Sequence[Partition]
    ) -> Iterator[Outcome[Partition, Result]]:
        """Call the function with each partition, and yield what became of it as it ends.

        A call that fails stops no other. A function for Ray can be pickled.
        """


def map_partitions(
    function: Callable[[Partition], Result], partitions: Sequence[Partition], runner: Runner
) -> Iterator[Outcome[Partition, Result]]:
    """Call a function with each partition where a runner does it; the order is that of the ends."""
    if partitions:
        yield from runner.outcomes(function, partitions)


@dataclass(frozen=True)
class Local:
    """This machine: so many calls at once, each in a thread.

    Attributes:
        at_once: How many; with 1 they are made one after the other.
    """

    at_once: int

    def outcomes(
        self, function: Callable[[Partition], Result], partitions: Sequence[Partition]
    ) -> Iterator[Outcome[Partition, Result]]:
        """See `Runner`."""
        with ThreadPoolExecutor(self.at_once) as pool:
            asked = {pool.submit(function, partition): partition for partition in partitions}
            try:
                for done in as_completed(asked):
                    yield _outcome(asked[done], done)
            except BaseException:  # such as Ctrl-C: what has not begun does not begin
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _outcome(partition: Partition, done: "Future[Result]") -> Outcome[Partition, Result]:
    error = done.exception()
    if isinstance(error, Exception):
        return Outcome(partition, None, error)
    return Outcome(partition, done.result(), None)


@dataclass(frozen=True)
class OnRay:
    """A cluster of Ray: the one that RAY_ADDRESS names, else one that lives as long as the calls.

    Each call takes a core of the cluster. On several machines each has the function's module, and
    what the function needs, in the same place.

    Attributes:
        at_once: Cores of a cluster of our own; one that is there has its own number.
    """

    at_once: int

    def outcomes(
        self, function: Callable[[Partition], Result], partitions: Sequence[Partition]
    ) -> Iterator[Outcome[Partition, Result]]:
        """See `Runner`.

        Raises:
            RunnerError: If Ray is not installed, or does not start.
        """
        ray = _ray()
        _connect(ray, self.at_once)
        try:
            # A call that is lost with its worker is reported, and not made again unseen.
            remote = ray.remote(num_cpus=1, max_retries=0)(function)
            asked = {remote.remote(partition): partition for partition in partitions}
            waiting = list(asked)
            while waiting:
                (done,), waiting = ray.wait(waiting, num_returns=1)
                yield _outcome_of_ray(ray, asked[done], done)
        finally:
            ray.shutdown()


def _ray() -> Any:
    # Ray reads them when it is imported.
    for name, value in (QUIET if os.environ.get(ADDRESS_VARIABLE) else QUIET | ALONE).items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise RunnerError(
            f"the runner ray needs Ray, which is not installed: {error}",
            "pip install 'goldpath[ray]', or choose --runner local",
        ) from error
    return ray


def _connect(ray: Any, at_once: int) -> None:
    """Join the cluster that is named, or start one on this machine that nobody else reaches."""
    address = os.environ.get(ADDRESS_VARIABLE, "")
    own = {"num_cpus": at_once, "include_dashboard": False}
    quiet = {"log_to_driver": False, "configure_logging": False}
    try:
        ray.init(address=address or "local", **(quiet if address else {**own, **quiet}))
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        place = f"{ADDRESS_VARIABLE}={address}" if address else "a cluster of this machine"
        raise RunnerError(
            f"Ray does not start with {place}: {error}", "mend that, or choose --runner local"
        ) from error
    step(f"ray {ray.__version__}: {int(ray.cluster_resources().get('CPU', 0))} cores")


def _outcome_of_ray(ray: Any, partition: Partition, done: Any) -> Outcome[Partition, Any]:
    try:
        return Outcome(partition, ray.get(done), None)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if isinstance(error.cause, Exception) else error
        return Outcome(partition, None, cause)
    except ray.exceptions.RayError as error:  # such as a worker that was killed
        return Outcome(partition, None, error)
