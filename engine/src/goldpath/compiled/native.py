"""Builds the C sources once for this machine, and scores through `kernel.c` without a copy.

The library is the same for every model; what differs is data. It is built in half a second by the
machine's C compiler and kept beside the project; without a compiler, `arrays.py` scores.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess  # nosec B404  the compiler, with fixed arguments
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from goldpath.compiled.blend import blend_answers
from goldpath.compiled.form import Blend, CompiledForm, CompiledFormError, Trees, Weights
from goldpath.compiled.ranked import Ranked, rank_trees

SOURCES = tuple(Path(__file__).with_name(name) for name in ("kernel.c", "json_rows.c"))
FLAGS = ("-O3", "-std=c11", "-ffp-contract=off", "-fno-fast-math", "-shared", "-fPIC")
BUILD_SECONDS = 60
ROWS_A_THREAD = 4096
"""Fewer rows are not worth a second thread."""

_LINKS = {"identity": 0, "logistic": 1, "softmax": 2, "exponential": 3}
_POINTERS = {
    "kind": np.uint8,
    "source": np.int32,
    "offset": np.int32,
    "fill": np.float64,
    "centre": np.float64,
    "scale": np.float64,
    "table": np.float64,
    "nodes": None,
    "roots": np.int32,
    "leaves": np.float64,
    "targets": np.int32,
    "bits": np.uint64,
    "weights": np.float64,
    "bias": np.float64,
}
_RANKED = (
    *("steps", "ranked", "walks", "leaf_values", "search", "page", "lookup", "flag"),
    *("thresholds", "buckets", "codes"),
)

log = logging.getLogger(__name__)


class _Form(ctypes.Structure):
    """`form` of kernel.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("numbers", "categories", "columns", "trees")),
        *((name, ctypes.c_int64) for name in ("margins", "outputs")),
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_int64) for name in ("width", "link", "single", "single_sums")),
        ("divisor", ctypes.c_double),
        *((name, ctypes.c_int64) for name in ("bytes", "searches", "lookups", "flags")),
        *((name, ctypes.c_int64) for name in ("most_steps", "has_sets")),
        *((name, ctypes.c_void_p) for name in _RANKED),
    ]


def find_compiler() -> list[str] | None:
    """The command of the C compiler: `CC`, Python's own, cc, gcc or clang; None without any."""
    configured = sysconfig.get_config_var("CC") or ""
    for command in (os.environ.get("CC", ""), str(configured), "cc", "gcc", "clang"):
        words = shlex.split(command)
        if words and shutil.which(words[0]):
            return words
    return None


def build_kernel(folder: Path) -> Path | None:
    """The shared library for this machine; made where it is not there yet.

    Args:
        folder: Where libraries are kept; its owner alone may write there.

    Returns:
        The library, or None where there is no compiler or it fails; the log says why.
    """
    source = b"".join(file.read_bytes() for file in SOURCES)
    machine = f"{sys.platform} {platform.machine()} {' '.join(FLAGS)}".encode()
    digest = hashlib.sha256(machine + source).hexdigest()[:16]
    library = folder / f"kernel-{digest}.so"
    if library.exists():
        return library
    compiler = find_compiler()
    if compiler is None:
        log.info("no C compiler: compiled models are scored by NumPy")
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as work:
            made = Path(work) / library.name
            command = [*compiler, *FLAGS, "-o", str(made), *map(str, SOURCES), "-lm"]
            done = subprocess.run(  # nosec B603
                command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
            )
            if done.returncode:
                log.warning("%s failed: %s", compiler[0], done.stderr.strip()[-500:])
                return None
            made.replace(library)  # another process may have made the same one meanwhile
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("the scoring kernel was not built: %s", error)
        return None
    return library


class BlendScorer:
    """Scores a blend, each of its forms with the kernel; safe to use from several threads.

    Args:
        form: Holds a blend.
        library: What `build_kernel` made.

    Raises:
        CompiledFormError: If the library cannot be loaded.
    """

    def __init__(self, form: CompiledForm, library: Path) -> None:
        if not isinstance(form.model, Blend):
            raise CompiledFormError("the form holds no blend", "score it with NativeScorer")
        self._blend = form.model
        self._members = [
            [NativeScorer(part, library) for part in member.forms] for member in form.model.members
        ]

    def score(
        self, numbers: np.ndarray, codes: np.ndarray, pool: ThreadPoolExecutor | None = None
    ) -> np.ndarray:
        """Score rows; see `NativeScorer.score`."""
        parts = [
            [partial(scorer.score, numbers, codes, pool) for scorer in scorers]
            for scorers in self._members
        ]
        return blend_answers(self._blend, parts)


class NativeScorer:
    """Scores with the kernel; safe to use from several threads.

    Args:
        form: A form that `check_form` has passed.
        library: What `build_kernel` made.

    Raises:
        CompiledFormError: If the library cannot be loaded.
    """

    def __init__(self, form: CompiledForm, library: Path) -> None:
        try:
            score = ctypes.CDLL(str(library)).score
        except (OSError, AttributeError) as error:
            raise CompiledFormError(
                f"the scoring kernel {library} cannot be loaded: {error}", f"delete {library}"
            ) from error
        score.argtypes = (ctypes.c_void_p,) * 3 + (ctypes.c_int64, ctypes.c_void_p)
        score.restype = ctypes.c_int
        self._score = score
        self._outputs = form.outputs
        self._arrays, self._ranked = _arrays(form), rank_trees(form)
        self._form = _structure(form, self._arrays, self._ranked)
        self._address = ctypes.addressof(self._form)

    def score(
        self, numbers: np.ndarray, codes: np.ndarray, pool: ThreadPoolExecutor | None = None
    ) -> np.ndarray:
        """Score rows; see `score_arrays`.

        Args:
            numbers: Float64, C-contiguous, of shape (rows, numbers).
            codes: Int32, C-contiguous, of shape (rows, categories).
            pool: Its threads share the rows where there are many.
        """
        rows = len(numbers)
        answers = np.empty((rows, self._outputs))
        if pool is None or rows <= ROWS_A_THREAD:
            self._run(numbers, codes, answers)
            return answers
        parts = [slice(at, at + ROWS_A_THREAD) for at in range(0, rows, ROWS_A_THREAD)]
        list(pool.map(lambda part: self._run(numbers[part], codes[part], answers[part]), parts))
        return answers

    def bound(
        self, numbers: np.ndarray, codes: np.ndarray, answers: np.ndarray
    ) -> Callable[[], None]:
        """A call that scores what the arrays hold at that moment, into `answers`."""
        kept = (numbers, codes, answers, self)  # the call holds addresses only
        score, addresses = self._score, [array.ctypes.data for array in (numbers, codes, answers)]
        rows, form = len(numbers), self._address

        def run() -> None:
            if score(form, addresses[0], addresses[1], rows, addresses[2]):
                raise MemoryError(f"no memory for the scoring kernel's {len(kept[0])} rows")

        return run

    def _run(self, numbers: np.ndarray, codes: np.ndarray, answers: np.ndarray) -> None:
        failed = self._score(
            self._address,
            numbers.ctypes.data,
            codes.ctypes.data,
            len(numbers),
            answers.ctypes.data,
        )
        if failed:
            raise MemoryError("no memory for the scoring kernel's rows")


def _arrays(form: CompiledForm) -> dict[str, np.ndarray]:
    """What the kernel points to; kept alive beside it."""
    model = form.model
    empty = np.empty(0)
    given: dict[str, np.ndarray] = {**vars(form.encoder), "bias": form.bias}
    if isinstance(model, Trees):
        given |= model.arrays
        given["weights"] = empty
    elif isinstance(model, Weights):
        given |= dict.fromkeys(("nodes", "roots", "leaves", "targets", "bits"), empty)
        given["weights"] = model.weights
    return {
        name: np.ascontiguousarray(given[name], kind if len(given[name]) else None)
        for name, kind in _POINTERS.items()
    }


def _structure(form: CompiledForm, arrays: dict[str, np.ndarray], ranked: Ranked | None) -> _Form:
    model = form.model
    over_bytes: dict[str, int] = {}
    if ranked:
        over_bytes = {name: array.ctypes.data for name, array in ranked.arrays.items()}
        over_bytes |= {"bytes": ranked.bytes, "most_steps": ranked.most_steps}
        over_bytes["has_sets"] = int(ranked.has_sets)
        over_bytes |= {
            counted: len(ranked.arrays[name])
            for counted, name in (("searches", "search"), ("lookups", "lookup"), ("flags", "flag"))
        }
    return _Form(
        numbers=len(form.numbers),
        categories=len(form.categories),
        columns=len(form.encoder.kind),
        trees=len(model.roots) if isinstance(model, Trees) else 0,
        margins=len(form.bias),
        outputs=form.outputs,
        width=model.leaves.shape[1] if isinstance(model, Trees) else 1,
        link=_LINKS[form.link],
        single=int(model.single) if isinstance(model, Trees) else 0,
        single_sums=int(model.single_sums) if isinstance(model, Trees) else 0,
        divisor=form.divisor,
        **{name: array.ctypes.data for name, array in arrays.items()},
        **over_bytes,
    )


def main() -> int:
    """Build the kernel into the folder that is named; 1 where that fails. For an image's build."""
    logging.basicConfig(level=logging.INFO)
    return 0 if build_kernel(Path(sys.argv[1])) else 1


if __name__ == "__main__":
    raise SystemExit(main())
