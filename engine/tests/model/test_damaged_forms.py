"""Whatever is damaged in a compiled form, it is one error, and the pipeline serves instead."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goldpath.compiled.compiler import compile_pipeline
from goldpath.compiled.form import CompiledFormError
from goldpath.compiled.form_files import ARRAYS_FILE, FORM_FILE, read_form, write_form

from ..api.examples import fitted

VALUES: list[Any] = [None, 0, -1, 1e300, "x", [], {}, [[1]], [None], {"a": [[]]}, True]
ARRAYS: dict[str, Callable[[np.ndarray], Any]] = {
    "a single value": lambda array: array.reshape(-1)[0] if array.size else np.float64(0),
    "empty": lambda array: array[:0],
    "another axis": lambda array: array[..., np.newaxis],
    "cut off": lambda array: array[: max(1, len(array) // 2)] if array.ndim else array,
    "negative": lambda array: array if array.dtype.names else -np.abs(array) - 1,
    "far away": lambda array: array if array.dtype.names else array + array.dtype.type(100),
    "bytes": lambda array: array.view(np.uint8) if array.ndim else array,
    "texts": lambda array: np.array(["x"] * max(1, array.shape[0] if array.ndim else 1)),
}


@pytest.fixture(scope="module", params=["boosting", "linear"])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = fitted("binary", family=request.param)
    folder = tmp_path_factory.mktemp(request.param)
    write_form(compile_pipeline(model.pipeline, model.contract), folder)
    read_form(folder)
    return folder


def read_or_refuse(folder: Path) -> bool:
    """Whether it was read; anything but the one error fails the test."""
    try:
        read_form(folder)
    except CompiledFormError:
        return False
    return True


@pytest.mark.parametrize("name", [FORM_FILE, ARRAYS_FILE])
def test_damaged_bytes_are_one_error(sound: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "form"
    shutil.copytree(sound, folder)
    content, dice = (sound / name).read_bytes(), random.Random(12)
    read = 0
    for place in range(150):
        changed = bytearray(content)
        for _ in range(1 + place % 4):
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        end = dice.randrange(len(changed)) if place % 3 else len(changed)
        (folder / name).write_bytes(changed[:end])
        read += read_or_refuse(folder)
    assert read < 100


def test_each_value_that_is_another_one_is_one_error(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "form"
    shutil.copytree(sound, folder)
    described = json.loads((sound / FORM_FILE).read_text())
    for key in described:
        for value in VALUES:
            (folder / FORM_FILE).write_text(json.dumps({**described, key: value}))
            read_or_refuse(folder)
        rest = {name: value for name, value in described.items() if name != key}
        (folder / FORM_FILE).write_text(json.dumps(rest))
        assert not read_or_refuse(folder) or key == "single", "which only trees have"
    for value in VALUES:
        (folder / FORM_FILE).write_text(json.dumps(value))
        assert not read_or_refuse(folder)


@pytest.mark.parametrize("damage", ARRAYS)
def test_each_array_that_is_another_one_is_one_error(
    sound: Path, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "form"
    shutil.copytree(sound, folder)
    with np.load(sound / ARRAYS_FILE) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        with np.errstate(all="ignore"):
            changed = ARRAYS[damage](array)
        np.savez(folder / ARRAYS_FILE, **{**arrays, name: changed})
        read_or_refuse(folder)
        np.savez(folder / ARRAYS_FILE, **{k: v for k, v in arrays.items() if k != name})
        assert not read_or_refuse(folder), name
