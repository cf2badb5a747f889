"""The benchmark of the drift check goes on where it was broken off."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ..locations import ENGINE

BENCHMARKS = ENGINE.parent / "benchmarks"


@pytest.fixture
def benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are not beside the engine")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    name = "drift_quality_of_a_test"
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / "drift_quality.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULT", tmp_path / "drift_quality.json")
    return module


FOUND = {"null": 0.01, "null lasting": 0.001, "3 columns": 0.99}


def test_only_cells_without_a_result_are_measured_and_the_others_kept(
    benchmark: ModuleType,
) -> None:
    kept = {"iid, 5000 rows": {"goldpath": FOUND}, "days 0.1, 300 rows": {"goldpath": FOUND}}
    benchmark.write_results(kept)

    results = benchmark.read_results()
    assert results == kept
    cells = benchmark.cells_to_measure(results, "", only_missing=True, with_nannyml=None)
    names = {benchmark.name_of(*cell) for cell in cells}
    assert len(names) == 13
    assert not names & set(kept)

    def asked(only: str, *, only_missing: bool, nannyml: str | None = None) -> int:
        return len(
            benchmark.cells_to_measure(
                results, only, only_missing=only_missing, with_nannyml=nannyml
            )
        )

    assert asked("iid", only_missing=True) == 2
    assert asked("iid", only_missing=False) == 3
    assert asked("", only_missing=True, nannyml="python") == 15, "none has NannyML's figures"


def test_each_cell_is_written_at_once_with_the_promises_that_it_breaks(
    benchmark: ModuleType,
) -> None:
    benchmark.write_results({"iid, 300 rows": {"goldpath": {**FOUND, "null": 0.5}}})

    document = json.loads(benchmark.RESULT.read_text())
    assert document["details"]["broken"] == ["iid, 300 rows: null 0.5000 > 0.02"]
    assert {"name", "ratio", "unit", "n"} < document.keys()
    assert [file.name for file in benchmark.RESULT.parent.iterdir()] == ["drift_quality.json"]
