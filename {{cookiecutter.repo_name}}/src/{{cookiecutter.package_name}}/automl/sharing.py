"""One search by several processes or hosts.

Processes of one machine share an Optuna journal (a file that is appended to under a lock); hosts
share it through Optuna's gRPC proxy. SQLite is refused: its locks are not made for many writers.
"""
from pathlib import Path
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from optuna.storages import BaseStorage
def open_storage(storage: "str | Path | BaseStorage") -> "BaseStorage":
    raise NotImplementedError
