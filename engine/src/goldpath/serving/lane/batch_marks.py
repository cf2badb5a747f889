"""Whether a batch may be the fast lane's, from the marks in its bytes, while it arrives."""

from collections.abc import Callable

from goldpath.contract import Contract

SOME_MARKS = 1_000
"""Marks in texts that nobody minds."""

_BRACE, _BRACKET, _COLON = b"{[:"
_OTHERS = bytes(byte for byte in range(256) if byte not in b"{[:")


class BatchMarks:
    """Counts braces, brackets and colons, of which each row and each key needs one.

    Texts may hold them, too: then the app reads what the lane could have read.

    Args:
        contract: What a row is.
        maximum_rows: How many instances a batch may hold.
    """

    def __init__(self, contract: Contract, maximum_rows: int) -> None:
        names = [feature.name for feature in contract.features]
        #: Colons that a key may bring along: its own and those in its name.
        self.colons_a_key = 2 + max((name.count(":") for name in names), default=0)
        self._most = {
            _BRACE: maximum_rows + 1,
            _BRACKET: 4 * maximum_rows + SOME_MARKS,
            _COLON: maximum_rows * (len(names) + 1) * self.colons_a_key + SOME_MARKS,
        }

    def counter(self) -> Callable[[bytes], bool]:
        """What takes a batch part by part, and says whether it may still be the lane's."""
        left = dict(self._most)

        def allows(part: bytes) -> bool:
            marks = part.translate(None, _OTHERS)
            for mark in left:
                left[mark] -= marks.count(mark)
            return min(left.values()) >= 0

        return allows
