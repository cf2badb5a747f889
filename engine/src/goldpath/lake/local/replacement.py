"""One snapshot that takes files out of a table and puts others in.

pyiceberg 0.12 asks every manifest of the table in threads of its own whether it may hold a file
that goes, and lets all of them use one evaluator, which keeps the manifest that it judges in a
field. Two manifests judged at once may then get the same verdict, and the file is not found.
"""

from collections.abc import Callable

from pyiceberg.io import FileIO
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Transaction
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _OverwriteFiles


class Replacement(_OverwriteFiles):  # type: ignore[misc]
    """pyiceberg's overwrite of named files, with an evaluator for each manifest.

    Args:
        transaction: What the snapshot becomes a part of; the table has a snapshot already.
        io: Reads and writes the table's files.
    """

    def __init__(self, transaction: Transaction, io: FileIO) -> None:
        super().__init__(Operation.OVERWRITE, transaction, io)

    def _build_manifest_evaluator(self, spec_id: int) -> Callable[[ManifestFile], bool]:
        build = super()._build_manifest_evaluator
        return lambda manifest: bool(build(spec_id)(manifest))
