"""What every project makes once and slowly, made once for all projects of a run.

MLflow needs two seconds and a few hundred commits to bring an empty SQLite file up to its schema,
and the C compiler as long for the scoring kernel. Where a test is not about that, its project gets
a copy.
"""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from goldpath.compiled.native import build_kernel
from goldpath.compiled.store import kernel_folder
from goldpath.settings import Settings


def _folder(prefix: str) -> Path:
    """A folder for as long as this process lives."""
    name = tempfile.mkdtemp(prefix=prefix)
    atexit.register(shutil.rmtree, name, ignore_errors=True)
    return Path(name)


@cache
def kernels() -> Path:
    """A folder for the scoring kernel, which the first model that is served builds into it."""
    return _folder("kernels-")


@cache
def empty_registry() -> Path:
    """A SQLite file with MLflow's tables, and nothing in them."""
    from mlflow.store.db.utils import (
        _initialize_tables,
        create_sqlalchemy_engine_with_retry,
    )

    file = _folder("registry-") / "mlflow.db"
    engine = create_sqlalchemy_engine_with_retry(f"sqlite:///{file}")
    _initialize_tables(engine)
    engine.dispose()
    return file


def add_ready_made(settings: Settings) -> None:
    """Give a project the kernel and, if it keeps its registry in a file, an empty registry."""
    build_kernel(kernels())
    shutil.copytree(kernels(), kernel_folder(settings), dirs_exist_ok=True)
    add_empty_registry(settings)


def add_empty_registry(settings: Settings) -> None:
    """Give a project that keeps its registry in a file an empty one."""
    kind, _, file = settings.tracking_uri.partition(":///")
    if kind == "sqlite" and not Path(file).exists():
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_registry(), file)
