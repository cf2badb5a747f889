"""Windows and tiles: how long, how wide, and which tiles a window at some time is made of.

Everything is whole microseconds, so that no engine rounds a boundary.
"""

from dataclasses import dataclass

from goldpath.durations import FORMS, SECONDS, duration_seconds
from goldpath.errors import ProjectError

TILE_WIDTHS = tuple(
    SECONDS[unit] * count
    for unit, count in (
        *(("d", 1), ("h", 6), ("h", 1), ("m", 30), ("m", 15), ("m", 5), ("m", 1)),
        *(("s", 15), ("s", 5), ("s", 1)),
    )
)
"""The widths that are chosen from, the widest first."""

LEAST_TILES = 24
"""Of a window, where the width is chosen: its old end is at most a 24th of it behind."""

MOST_TILES = 10_000
"""Of a window: what the service may have to add up for one answer."""

MICROSECONDS = 1_000_000


class WindowError(ProjectError):
    """A window, a tile or a lag that cannot be used."""


def seconds_in(duration: str) -> int:
    """`30d`, `12h`, `15m`, `90s` or `2w` as seconds.

    Raises:
        WindowError: If it is none of these.
    """
    seconds = duration_seconds(duration)
    if seconds is None:
        raise WindowError(f"{duration!r} is no duration", f"write {FORMS}")
    return seconds


def tile_width(windows: tuple[int, ...]) -> int:
    """The width for some windows, in seconds.

    The widest of `TILE_WIDTHS` that cuts each window into whole tiles, and the shortest one into
    `LEAST_TILES` or more: a day for 30d and 90d, six hours for 7d, an hour for 24h.

    Raises:
        WindowError: If a window is so short that no width does.
    """
    shortest = min(windows)
    for width in TILE_WIDTHS:
        if width * LEAST_TILES <= shortest and all(each % width == 0 for each in windows):
            return width
    raise WindowError(
        f"a window of {shortest} seconds has fewer than {LEAST_TILES} tiles of a second",
        f"make it {LEAST_TILES}s or longer, or say tile=…",
    )


@dataclass(frozen=True)
class Geometry:
    """Which rows count at a time, but for the windows' lengths.

    Attributes:
        tile: The tiles' width in seconds.
        lag: How long a row may take until it is in the online store, in seconds: only tiles that
            were over by then count, in training as in the service.
        including: Whether a tile holds its end instead of its first moment.
    """

    tile: int
    lag: int = 0
    including: bool = False

    @property
    def width(self) -> int:
        """The tiles' width in microseconds."""
        return self.tile * MICROSECONDS

    def tile_of(self, row: int) -> int:
        """The number of the tile that a row belongs to.

        Args:
            row: Its time in microseconds since 1970.
        """
        return (row - 1 if self.including else row) // self.width

    def end(self, time: int) -> int:
        """The number of the first tile that no longer counts at a time.

        Args:
            time: In microseconds since 1970.
        """
        return (time - self.lag * MICROSECONDS) // self.width


def check_geometry(geometry: Geometry, windows: tuple[int, ...]) -> None:
    """Refuse windows that are not made of whole tiles.

    Raises:
        WindowError: If a window is no multiple of the tile, or has too many of them.
    """
    for each in windows:
        if each % geometry.tile:
            raise WindowError(
                f"a window of {each} seconds is not made of whole tiles of {geometry.tile} seconds",
                "choose a tile that divides every window: tile=…",
            )
        if each // geometry.tile > MOST_TILES:
            raise WindowError(
                f"a window of {each} seconds has {each // geometry.tile} tiles of "
                f"{geometry.tile} seconds; {MOST_TILES} are allowed",
                "give the long and the short windows a feature each, or say tile=…",
            )
