"""A reference profile as one file: arrays and a JSON head, no code, read strictly.

It is stored with the model's run and signed like its other documents. The same profile gives the
same bytes.
"""

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from goldpath.drift.bins import Bins, ColumnBins
from goldpath.drift.counts import Profile
from goldpath.drift.distances import Distances
from goldpath.drift.profile import DriftError
from goldpath.drift.reference import Reference, ReferenceWindows
from goldpath.drift.texts import KnownWords
from goldpath.settings.monitoring import TELLS_APART

FORMAT = "goldpath drift reference 1"
RETRAIN = "train again, which writes a new one: make train-local"
Arrays = dict[str, npt.NDArray[Any]]


def write_reference(path: Path, reference: Reference) -> None:
    """Write the profile; an older file stays whole until the new one is.

    Args:
        path: An .npz file.
        reference: What to write.
    """
    bins, windows = reference.whole.bins, reference.windows
    kinds = sorted(reference.seasons)
    head = {
        "format": FORMAT,
        "window": reference.window,
        "season": reference.season,
        "texts": list(reference.words),
        "season_windows": [reference.season_windows[kind] for kind in kinds],
        "columns": [
            {
                "name": column.name,
                "kind": column.kind,
                "edges": len(column.edges),
                "names": column.names,
                "is_complete": column.is_complete,
            }
            for column in bins.columns
        ],
    }
    profiles = [reference.whole, *(reference.seasons[kind] for kind in kinds)]
    arrays: Arrays = {
        "head": np.frombuffer(json.dumps(head).encode(), dtype=np.uint8),
        "edges": np.concatenate([np.empty(0), *(column.edges for column in bins.columns)]),
        "kinds": np.array(kinds, dtype=np.int64),
        "rows": np.array([[each.rows, each.refused] for each in profiles], dtype=np.int64),
        "counts": np.array([each.counts for each in profiles]),
        "missing": np.array([each.missing for each in profiles]),
        "sums": np.array([each.sums for each in profiles]),
    }
    if windows is not None:
        arrays |= {
            "window_starts": windows.starts.astype("M8[s]").astype(np.int64),
            "window_rows": windows.rows,
            "window_inflation": windows.inflation,
            "squared": windows.distances.squared,
            "effect": windows.distances.effect,
            "first": windows.distances.first,
            "moments": windows.distances.moments,
        }
    for number, words in enumerate(reference.words.values()):
        arrays |= {f"several_{number}": words.several, f"once_{number}": words.once}
    content = BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(content.getvalue())
    unfinished.replace(path)


def read_reference(path: Path) -> Reference:
    """Read a profile back.

    Raises:
        DriftError: If there is none, or the file is no whole profile of this format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: Arrays = {name: file[name] for name in file.files}
        head = json.loads(arrays["head"].tobytes())
        if head["format"] != FORMAT:
            raise DriftError(
                f"{path.name} has the format {str(head['format'])[:60]!r}, not {FORMAT!r}", RETRAIN
            )
        return _reference(head, arrays)
    except FileNotFoundError as error:
        raise DriftError(f"there is no reference profile {path.name}", RETRAIN) from error
    except (KeyError, TypeError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DriftError(f"{path.name} is no reference profile: {error}", RETRAIN) from error


def _reference(head: dict[str, Any], arrays: Arrays) -> Reference:
    columns, start = [], 0
    for column in head["columns"]:
        edges = arrays["edges"][start : start + column["edges"]]
        start += column["edges"]
        if column["kind"] not in ("number", "category") or np.any(np.diff(edges) <= 0):
            raise ValueError(f"the bins of {column['name']!r} are not in order")
        names = tuple(str(name) for name in column["names"])
        columns.append(
            ColumnBins(column["name"], column["kind"], edges, names, bool(column["is_complete"]))
        )
    bins = Bins(tuple(columns))
    if head["season"] not in TELLS_APART.get(head["window"], ()):
        raise ValueError(f"windows of {head['window']!r} have no season {head['season']!r}")
    kinds = arrays["kinds"].tolist()
    profiles = [_profile(bins, arrays, number) for number in range(1 + len(kinds))]
    return Reference(
        whole=profiles[0],
        window=head["window"],
        season=head["season"],
        seasons=dict(zip(kinds, profiles[1:], strict=True)),
        season_windows=dict(zip(kinds, head["season_windows"], strict=True)),
        windows=_windows(arrays, 3 * len(columns) + 1) if "squared" in arrays else None,
        words={
            str(name): KnownWords(arrays[f"several_{number}"], arrays[f"once_{number}"])
            for number, name in enumerate(head.get("texts", ()))
        },
    )


def _profile(bins: Bins, arrays: Arrays, number: int) -> Profile:
    counts, missing = arrays["counts"][number], arrays["missing"][number]
    rows, refused = (int(value) for value in arrays["rows"][number])
    if counts.shape != (bins.starts[-1],) or missing.shape != (len(bins.columns),):
        raise ValueError(f"{counts.shape} counts for {bins.starts[-1]} bins")
    if min(rows, refused, int(counts.min(initial=0)), int(missing.min(initial=0))) < 0:
        raise ValueError("a count is negative")
    return Profile(bins, rows, refused, counts, missing, arrays["sums"][number])


def _windows(arrays: Arrays, tests: int) -> ReferenceWindows:
    squared = arrays["squared"]
    if squared.shape[1:] != (tests,):
        raise ValueError(f"distances of shape {squared.shape} for {tests} tests")
    return ReferenceWindows(
        starts=arrays["window_starts"].astype("M8[s]"),
        rows=arrays["window_rows"],
        distances=Distances(squared, arrays["effect"], arrays["first"], arrays["moments"]),
        inflation=arrays["window_inflation"],
    )
