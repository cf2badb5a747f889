"""Where a search is shared.

Processes of one machine share an Optuna journal (a file that is appended to under a lock); hosts
share it through Optuna's gRPC proxy. SQLite is refused: its locks are not made for many writers.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from goldpath.errors import ProjectError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

GRPC_PORT = 13_000


def open_storage(storage: "str | Path | BaseStorage") -> "BaseStorage":
    """The place of a shared search.

    Args:
        storage: A journal's path, `grpc://HOST:PORT`, or a storage of Optuna's.

    Raises:
        ProjectError: For SQLite or another database, or where gRPC is not installed.
    """
    if not isinstance(storage, str | Path):
        refuse_sqlite(str(getattr(storage, "url", "")))
        return storage
    text = str(storage)
    refuse_sqlite(text)
    if text.startswith("grpc://"):
        address = urlsplit(text)
        if not address.hostname:
            raise ProjectError(f"{text!r} names no host", "say grpc://HOST:PORT")
        try:
            from optuna.storages import GrpcStorageProxy

            with _experimental():
                return GrpcStorageProxy(host=address.hostname, port=address.port or GRPC_PORT)
        except ImportError as error:
            raise ProjectError(
                f"a search across hosts needs gRPC: {error}",
                "install goldpath's extra `automl`",
            ) from error
    if "://" in text:
        raise ProjectError(
            f"{text!r} is no storage for a shared search",
            "give the path of a journal file, or grpc://HOST:PORT",
        )
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = Path(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The default lock is a symbolic link, which Windows and some network shares refuse.
    return JournalStorage(JournalFileBackend(text, lock_obj=JournalFileOpenLock(text)))


def serve_storage(journal: Path, host: str = "127.0.0.1", port: int = GRPC_PORT) -> None:
    """Serve a journal to other hosts until interrupted.

    There is no authentication: listen on a network that only the workers reach.
    """
    try:
        from optuna.storages import run_grpc_proxy_server
    except ImportError as error:
        raise ProjectError(
            f"a search across hosts needs gRPC: {error}",
            "install goldpath's extra `automl`",
        ) from error
    with _experimental():
        run_grpc_proxy_server(open_storage(journal), host=host, port=port)


@contextlib.contextmanager
def _experimental() -> Iterator[None]:
    """Optuna calls its proxy experimental; those who chose it need no warning each time."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def refuse_sqlite(address: str) -> None:
    """Insist on a storage that is made for many writers."""
    if address.startswith("sqlite"):
        raise ProjectError(
            f"{address!r}: SQLite loses trials and locks up when several processes write to it",
            "give the path of a journal file, such as automl/journal.log",
        )
