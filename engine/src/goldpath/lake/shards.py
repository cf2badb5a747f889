"""Disjoint parts of a table's rows, the same for everyone who reads the same snapshot.

A digest of a row's entity and time says which part it belongs to. It is computed where the data is,
so that nobody reads the rows of another part, and does not depend on files or their order.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldpath.contract import EVENT_TIME
from goldpath.row_contract import RowContract

if TYPE_CHECKING:
    import ibis

DIGITS = 8
MOST_SHARDS = 256
"""Their rows are counted by one statement, and Athena's may not be of any length."""


@dataclass(frozen=True)
class Shard:
    """One of several parts of about the same size.

    Attributes:
        number: From 1 on.
        count: How many parts there are.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number} of {self.count}"

    def holds(self, rows: "ibis.Table", contract: RowContract) -> "ibis.expr.types.BooleanValue":
        """Whether a row belongs to this part, as an expression.

        Rows of the same entity and time are in the same part.

        Args:
            rows: With the entity's column, and the event time where the contract has one.
            contract: Names these columns.
        """
        key = rows[contract.entity_column].cast("string").fill_null("")
        if contract.has_time:
            key = key + "|" + rows[EVENT_TIME].strftime("%Y-%m-%d %H:%M:%S").fill_null("")
        digest = key.hexdigest("md5")
        first, end = _edge(self.number - 1, self.count), _edge(self.number, self.count)
        return (digest >= first) & (digest < end) if end else digest >= first


def _edge(number: int, count: int) -> str:
    """The smallest digest that is not in the first parts; empty after the last one."""
    place = 16**DIGITS * number // count
    return f"{place:0{DIGITS}x}" if number < count else ""
