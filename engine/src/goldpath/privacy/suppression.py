"""The suppression list: whose rows are not taken in again, as keyed hashes in a table of the lake.

A person who was erased stays in the source's files until somebody cleans those, too. The list is
itself pseudonymous data, kept for that one purpose (GDPR Art. 17 and Recital 26).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.domain import PADDING
from goldpath.lake.lakehouse import Lakehouse, TableName
from goldpath.privacy.erasure import PrivacyError, hash_key, hash_of
from goldpath.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Suppression:
    """Whose rows are not taken in.

    Attributes:
        column: The entity's column, or None where the contract has none.
        key: The key of the hashes; empty while nobody was erased.
        persons: The hashes.
    """

    column: str | None = None
    key: bytes = b""
    persons: frozenset[str] = frozenset()

    def __contains__(self, entity: str) -> bool:
        return bool(self.persons) and hash_of(self.key, entity) in self.persons

    def keep(self, rows: "pa.RecordBatch") -> "pa.RecordBatch":
        """The rows of everybody who was not erased; costs nothing while the list is empty."""
        if not self.persons or self.column not in rows.schema.names:
            return rows
        import pyarrow as pa
        import pyarrow.compute as pc

        trimmed = pc.utf8_trim(rows.column(self.column), characters=PADDING)
        entities = trimmed.dictionary_encode()
        known = [text is None or text not in self for text in entities.dictionary.to_pylist()]
        if all(known):
            return rows
        return rows.filter(pc.fill_null(pc.take(pa.array(known), entities.indices), True))

    def keep_all(self, rows: "pa.Table") -> "pa.Table":
        """The same for a whole table."""
        import pyarrow as pa

        return pa.Table.from_batches(map(self.keep, rows.to_batches()), rows.schema)


class SuppressionList:
    """The table behind it, one for each dataset.

    Args:
        lakehouse: Where it is.
        settings: Where the key is.
        contract: Names the dataset and the entity.
    """

    def __init__(self, lakehouse: Lakehouse, settings: Settings, contract: Contract) -> None:
        self._lakehouse = lakehouse
        self._settings = settings
        self._contract = contract

    @cached_property
    def table(self) -> TableName:
        """Its name."""
        return TableName("_forgotten", self._contract.base)

    def load(self) -> Suppression:
        """The list as it is now.

        Raises:
            PrivacyError: If it was made with another key, or the key is not here.
        """
        if self._contract.entity is None or not self._lakehouse.exists(self.table):
            return Suppression()
        rows = self._lakehouse.collect(self._lakehouse.read(self.table)).to_pylist()
        if not rows:
            return Suppression()
        key = hash_key(self._settings, create=False)
        if any(row["key_check"] != _check(key) for row in rows):
            raise PrivacyError(
                f"{self.table} was made with another key than the one that is here",
                "bring lake/privacy/key from the machine that erased the persons, or set "
                "MLOPS_LAKE__PRIVACY_KEY as it was there",
            )
        persons = frozenset(str(row["person"]) for row in rows)
        return Suppression(self._contract.entity, key, persons)

    def add(self, entity: str) -> None:
        """Put a person on the list; a second call changes nothing.

        Nobody else may be writing to the list: what a killed call left torn goes, however young.
        """
        import pyarrow as pa

        if entity not in self.load():
            key = hash_key(self._settings, create=True)
            now = datetime.now(UTC).replace(tzinfo=None)
            row = {
                "person": [hash_of(key, entity)],
                "key_check": [_check(key)],
                "forgotten_at": pa.array([now], pa.timestamp("us")),
            }
            self._lakehouse.append(self.table, pa.table(row))
        self._lakehouse.purge(self.table, ())


def _check(key: bytes) -> str:
    """Tells keys apart without giving one away."""
    return hash_of(key, "the key itself")[:16]
