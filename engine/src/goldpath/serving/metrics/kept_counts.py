"""Counts kept by one thread, without a lock: what the fast lane counts of each request.

`Counter.inc` and `Histogram.observe` of prometheus_client take locks and, with several workers,
pack and write every value: 2 to 5 µs a request, of which the lane answers within tens. Here a count
is one addition. A single process counts in a list, and hands it over when somebody reads the
metrics. With several workers each counts in a file of its own, in the format that
`MultiProcessCollector` adds up, so that a killed worker loses nothing.
"""

import itertools
import math
import os
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from prometheus_client import Counter, Histogram
from prometheus_client.mmap_dict import MmapedDict

MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Set before prometheus_client is imported: several workers count into files of this folder."""


class _Place(NamedTuple):
    """Where a figure is kept."""

    figures: "list[float] | memoryview[float]"
    place: int


class KeptCounts:
    """Adds to series of Prometheus, in one thread; others may add to the same series themselves.

    The form of the files, and what a series holds, are prometheus_client's own (0.26): it offers no
    way to add to a histogram without a lock, or more than one observation at a time.
    """

    _numbers = itertools.count()

    def __init__(self) -> None:
        self._folder = os.environ.get(MULTIPROCESS_FOLDER, "")
        self._number = next(self._numbers)
        self._files: dict[str, Any] = {}
        self._figures: list[float] = []
        self._given: list[float] = []
        self._series: list[Any] = []
        self._lock = Lock()

    def counter(self, series: Counter) -> Callable[[float], None]:
        """What adds to a counter."""
        figures, place = self._place(series._value)

        def count(number: float = 1) -> None:
            figures[place] += number

        return count

    def timer(self, answered: Counter, seconds: Histogram) -> Callable[[float], None]:
        """What counts an answer, and the seconds that it took."""
        counted, place = self._place(answered._value)
        places = [self._place(each) for each in (seconds._sum, *seconds._buckets)]
        total, *buckets = (each.place for each in places)
        timed = places[-1].figures  # where making a place has let the file grow, it shows all
        bounds = [bound for bound in seconds._upper_bounds if bound < math.inf]

        def count(took: float) -> None:
            counted[place] += 1
            timed[total] += took
            timed[buckets[bisect_left(bounds, took)]] += 1

        return count

    def hand_over(self) -> None:
        """Give the series what was counted since; with several workers it is in the files."""
        with self._lock:  # two may ask for the metrics at once
            for place, series in enumerate(self._series):
                figure = self._figures[place]
                if figure != self._given[place]:
                    series.inc(figure - self._given[place])
                    self._given[place] = figure

    def _place(self, series: Any) -> _Place:
        """Where a series is counted; the same one again where it is asked for again."""
        with self._lock:  # a model is made ready in a thread of its own
            if self._folder:
                return self._place_in_file(series._params[0], series._key)
            if series not in self._series:
                self._figures.append(0.0)
                self._given.append(0.0)
                self._series.append(series)
            return _Place(self._figures, self._series.index(series))

    def _place_in_file(self, kind: str, key: str) -> _Place:
        if kind not in self._files:
            # The first part of the name is the kind for whoever sums up, the last the process.
            file = Path(self._folder) / f"{kind}_kept{self._number}_{os.getpid()}.db"
            self._files[kind] = MmapedDict(str(file))  # type: ignore[no-untyped-call]
        kept = self._files[kind]
        kept.read_value(key)  # makes the figure where there is none
        # A file that grows is mapped anew, and this map goes on to show its first part.
        return _Place(memoryview(kept._m).cast("d"), kept._positions[key] // 8)
