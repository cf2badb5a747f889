"""A compiled model answers what its pipeline answers, or is not used."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline

from goldpath.compiled import native
from goldpath.compiled.arrays import score_arrays
from goldpath.compiled.compiler import NotCompilableError, compile_pipeline
from goldpath.compiled.form import CompiledForm, CompiledFormError, Trees, check_form
from goldpath.compiled.form_files import ARRAYS_FILE, read_form, write_form
from goldpath.compiled.native import NativeScorer, build_kernel, find_compiler
from goldpath.compiled.parity import draw_rows, prove_parity
from goldpath.compiled.ranked import rank_trees
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract, dump_contract
from goldpath.learning.families import FAMILIES
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.search import fit

from .. import ready_made
from ..counts import times
from .test_estimators import CLASSES, COLUMNS, contract, rows

PARITY_ROWS = times(5_000, 20_000)
needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def kernels() -> Path:
    return ready_made.kernels()


def forest(described: Contract, frame: pd.DataFrame) -> LoadedModel:
    """A random forest behind the linear family's columns."""
    linear = FAMILIES["linear"].build(described, FAMILIES["linear"].defaults, 0)
    columns: ColumnTransformer = linear.named_steps["columns"]
    kind = RandomForestClassifier if described.target.classes else RandomForestRegressor
    model = kind(n_estimators=30, random_state=0, min_samples_leaf=3)
    pipeline = Pipeline([("columns", columns), ("model", model)])
    pipeline.fit(frame[described.feature_names], frame["y"])
    return LoadedModel(pipeline, described)


def fitted(family: str, target: str, kinds: list[dict[str, Any]]) -> LoadedModel:
    described, frame = contract(target, kinds), rows(target)
    if family == "forest":
        return forest(described, frame)
    return fit(frame, described, family, FAMILIES[family].defaults, seed=0)


def compiled(model: LoadedModel) -> CompiledForm:
    return compile_pipeline(model.pipeline, model.contract)


@pytest.fixture(scope="module")
def boosted() -> LoadedModel:
    return fitted("boosting", "binary", COLUMNS)


@pytest.mark.soak
@pytest.mark.parametrize("kinds", [COLUMNS, COLUMNS[:2], COLUMNS[2:3], COLUMNS[3:]])
@pytest.mark.parametrize("target", list(CLASSES))
@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_is_compiled_with_parity(
    family: str, target: str, kinds: list[dict[str, Any]], kernels: Path, tmp_path: Path
) -> None:
    model = fitted(family, target, kinds)
    write_form(compiled(model), tmp_path)
    form = read_form(tmp_path)
    served = CompiledModel(form, model.contract, kernels=kernels)

    proof = prove_parity(model.pipeline, form, model.contract, served.answers, PARITY_ROWS, seed=1)

    assert proof.rows == PARITY_ROWS
    assert proof.passed, proof
    assert proof.largest_difference <= 1e-9
    assert served.engine == ("kernel" if find_compiler() else "numpy")


@pytest.mark.soak
@pytest.mark.parametrize("target", list(CLASSES))
def test_a_forest_compares_in_single_precision_as_the_original_does(
    target: str, kernels: Path
) -> None:
    model = fitted("forest", target, COLUMNS)
    form = compiled(model)
    served = CompiledModel(form, model.contract, kernels=kernels)

    assert isinstance(form.model, Trees)
    assert form.model.single
    assert prove_parity(
        model.pipeline, form, model.contract, served.answers, PARITY_ROWS, seed=1
    ).passed


@needs_compiler
@pytest.mark.parametrize("family", [*FAMILIES, "forest"])
def test_kernel_and_numpy_agree_and_a_row_has_the_same_bits_alone_and_in_a_batch(
    family: str, kernels: Path
) -> None:
    model = fitted(family, "many", COLUMNS)
    form = compiled(model)
    numbers, codes = draw_rows(form, model.contract, 9_001, np.random.default_rng(3))
    library = build_kernel(kernels)
    assert library is not None
    kernel = NativeScorer(form, library)
    served = CompiledModel(form, model.contract, kernels=kernels, threads=2)

    together = served.answers(numbers, codes)

    alone = np.vstack([kernel.score(numbers[[at]], codes[[at]]) for at in range(500)])
    assert np.array_equal(alone, together[:500])
    assert np.abs(score_arrays(form, numbers, codes) - together).max() < 1e-14


def many_categories() -> LoadedModel:
    """Boosting over a category whose sets take several bytes."""
    values = [f"v{number:02}" for number in range(40)]
    described = contract("many", [COLUMNS[0], {**COLUMNS[2], "categories": values}])
    frame = rows("many")
    dice = np.random.default_rng(4)
    number = dice.integers(0, len(values), len(frame))
    frame["closed"] = np.array(values, dtype=object)[number]
    frame["y"] = np.array(["a", "b", "c"], dtype=object)[number * 7 % 3]
    return fit(frame, described, "boosting", FAMILIES["boosting"].defaults, seed=0)


@needs_compiler
@pytest.mark.parametrize("family", ["boosting", "forest", "categories"])
def test_walks_over_bytes_and_over_numbers_end_at_the_same_leaves(
    family: str, kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = many_categories() if family == "categories" else fitted(family, "many", COLUMNS)
    form = compiled(model)
    library = build_kernel(kernels)
    assert library is not None
    over_bytes, ranked = NativeScorer(form, library), rank_trees(form)
    monkeypatch.setattr(native, "rank_trees", lambda _: None)
    over_numbers = NativeScorer(form, library)
    numbers, codes = draw_rows(form, model.contract, 5_000, np.random.default_rng(6))

    expected = over_numbers.score(numbers, codes)

    assert ranked is not None
    pages, searches = ranked.arrays["page"], ranked.arrays["search"]
    assert (family == "forest") == bool((pages["base"] > 0).any()), "more ranks than a byte has"
    assert len(searches)
    for count in (1, 15, 16, 127, 128, 129, 257, 5_000):
        assert np.array_equal(over_bytes.score(numbers[:count], codes[:count]), expected[:count])


@pytest.mark.parametrize("target", list(CLASSES))
def test_rows_of_every_form_get_the_pipelines_predictions(target: str, kernels: Path) -> None:
    model = fitted("boosting", target, COLUMNS)
    frame = rows(target).drop(columns="y")
    frame.loc[:9, "open"] = "never seen"
    table = pa.Table.from_pandas(frame, preserve_index=False)
    served = CompiledModel(compiled(model), model.contract, kernels=kernels)

    expected = model.predict(frame)

    for form in (frame, table, table.to_pylist()):
        found = served.predict(form)
        assert found.values == expected.values
        assert found.scores == pytest.approx(expected.scores, abs=1e-12)
    probabilities = served.predict(table).probabilities
    assert (probabilities is None) == (target == "number")


def test_a_class_without_training_rows_has_probability_zero(kernels: Path) -> None:
    described, frame = contract("many", COLUMNS), rows("many")
    frame = frame[frame["y"] != "b"]
    model = fit(frame, described, "boosting", FAMILIES["boosting"].defaults, seed=0)
    served = CompiledModel(compiled(model), described, kernels=kernels)

    found = served.predict(frame)

    assert found.values == model.predict(frame).values
    assert found.probabilities is not None
    assert found.probabilities.shape == (len(frame), 3)
    assert set(found.probabilities[:, 1]) == {0.0}


def _rounded_thresholds(form: CompiledForm) -> CompiledForm:
    assert isinstance(form.model, Trees)
    nodes = form.model.nodes.copy()
    inner = nodes["left"] != np.arange(len(nodes))
    nodes["threshold"][inner] = nodes["threshold"][inner].astype(np.float32)
    return replace(form, model=replace(form.model, nodes=nodes))


def _missing_goes_left(form: CompiledForm) -> CompiledForm:
    assert isinstance(form.model, Trees)
    nodes = form.model.nodes.copy()
    nodes["flags"] &= ~np.int16(1)
    return replace(form, model=replace(form.model, nodes=nodes))


def _unknown_is_the_first_category(form: CompiledForm) -> CompiledForm:
    table = form.encoder.table.copy()
    for offset, source in zip(form.encoder.offset, form.encoder.source, strict=True):
        known = list(form.categories.values())[source] if source < len(form.categories) else ()
        if offset or known:
            table[offset + len(known)] = table[offset]
    return replace(form, encoder=replace(form.encoder, table=table))


@pytest.mark.soak
@pytest.mark.parametrize(
    "damage", [_rounded_thresholds, _missing_goes_left, _unknown_is_the_first_category]
)
def test_parity_finds_a_form_that_is_only_nearly_right(
    damage: Callable[[CompiledForm], CompiledForm], boosted: LoadedModel
) -> None:
    form = damage(compiled(boosted))
    check_form(form)  # nothing points outside: only the answers tell
    served = CompiledModel(form, boosted.contract)

    proof = prove_parity(
        boosted.pipeline, form, boosted.contract, served.answers, PARITY_ROWS, seed=1
    )

    assert not proof.passed
    assert proof.largest_difference > 1e-6


def test_usual_rows_do_not_find_thresholds_that_were_rounded(boosted: LoadedModel) -> None:
    """Why the proof draws its rows from the model, too."""
    form = _rounded_thresholds(compiled(boosted))
    usual = rows("binary").drop(columns="y")
    numbers = np.random.default_rng(5).normal(size=len(usual))
    usual["x"] = numbers

    found = CompiledModel(form, boosted.contract).predict(usual)

    assert found.scores == pytest.approx(boosted.predict(usual).scores, abs=1e-9)


def test_what_has_no_compiled_form_is_refused_by_name(boosted: LoadedModel) -> None:
    pipeline = Pipeline([*boosted.pipeline.steps[:-1], ("model", GaussianNB())])

    with pytest.raises(NotCompilableError, match="sklearn's GaussianNB has no compiled form"):
        compile_pipeline(pipeline, boosted.contract)


Damage = Callable[[CompiledForm], CompiledForm]


def _trees(**changes: Any) -> Damage:
    def change(form: CompiledForm) -> CompiledForm:
        assert isinstance(form.model, Trees)
        return replace(form, model=replace(form.model, **changes))

    return change


def _node(field: str, value: float) -> Damage:
    def change(form: CompiledForm) -> CompiledForm:
        assert isinstance(form.model, Trees)
        nodes = form.model.nodes.copy()
        nodes[field][0] = value
        return replace(form, model=replace(form.model, nodes=nodes))

    return change


def _encoder(field: str, value: float) -> Damage:
    def change(form: CompiledForm) -> CompiledForm:
        array = getattr(form.encoder, field).copy()
        array[-1] = value
        return replace(form, encoder=replace(form.encoder, **{field: array}))

    return change


@pytest.mark.parametrize(
    "damage",
    [
        _node("left", 10**6),
        _node("left", -5),
        _node("column", 99),
        _node("column", -1),
        _node("flags", 64),
        _trees(roots=np.array([10**6], dtype=np.int32), targets=np.zeros(1, dtype=np.int32)),
        _trees(targets=np.array([7], dtype=np.int32), roots=np.zeros(1, dtype=np.int32)),
        _trees(bits=np.empty(0, dtype=np.uint64)),
        _trees(leaves=np.zeros((1, 1))),
        _encoder("source", 50),
        _encoder("source", -1),
        _encoder("kind", 9),
        _encoder("offset", 10**6),
        _encoder("offset", -1),
        lambda form: replace(form, bias=np.zeros(3)),
        lambda form: replace(form, classes=("a", "b", "c")),
        lambda form: replace(form, link="tangent"),
    ],
)
def test_a_form_that_points_outside_its_arrays_is_refused_before_it_is_run(
    damage: Damage, boosted: LoadedModel
) -> None:
    with pytest.raises(CompiledFormError, match="is damaged"):
        check_form(damage(compiled(boosted)))


def test_a_file_that_is_cut_off_is_refused(boosted: LoadedModel, tmp_path: Path) -> None:
    write_form(compiled(boosted), tmp_path)
    file = tmp_path / ARRAYS_FILE
    file.write_bytes(file.read_bytes()[:1000])

    with pytest.raises(CompiledFormError, match="cannot be read"):
        read_form(tmp_path)


def test_without_a_compiler_numpy_scores(
    boosted: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    frame = rows("binary")

    served = CompiledModel(compiled(boosted), boosted.contract, kernels=tmp_path / "kernels")

    assert served.engine == "numpy"
    assert served.predict(frame).scores == pytest.approx(boosted.predict(frame).scores, abs=1e-12)


def test_scoring_needs_neither_pandas_nor_scikit_learn(
    boosted: LoadedModel, kernels: Path, tmp_path: Path
) -> None:
    write_form(compiled(boosted), tmp_path)
    (tmp_path / "contract.yaml").write_text(dump_contract(boosted.contract))
    program = f"""
import sys
from pathlib import Path
from goldpath.contract import parse_contract
from goldpath.compiled.form_files import read_form
from goldpath.compiled.scorer import CompiledModel
folder = Path({str(tmp_path)!r})
contract = parse_contract((folder / "contract.yaml").read_text())
model = CompiledModel(read_form(folder), contract, kernels=Path({str(kernels)!r}))
print(model.predict([dict(x=1.0, b=True, closed="p", open=None)]).scores[0])
heavy = {"{'pandas', 'sklearn', 'scipy', 'mlflow', 'pyarrow'}"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    score, imported = done.stdout.splitlines()

    expected = boosted.predict([{"x": 1.0, "b": True, "closed": "p", "open": None}]).scores[0]
    assert float(score) == pytest.approx(expected, abs=1e-12)
    assert imported == "[]"
