"""AutoML's ensembles in their compiled form answer what they answer themselves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from goldpath.automl.budget import Budget
from goldpath.automl.engine import find_model
from goldpath.compiled.arrays import score_arrays
from goldpath.compiled.compiler import NotCompilableError, compile_pipeline
from goldpath.compiled.form import Blend, CompiledForm, CompiledFormError, check_form
from goldpath.compiled.form_files import read_form, write_form
from goldpath.compiled.native import find_compiler
from goldpath.compiled.parity import draw_rows, prove_parity
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract
from goldpath.learning.frames import model_frame, target_values
from goldpath.learning.scoring import LoadedModel

from ..counts import times
from ..ready_made import kernels
from .test_estimators import CLASSES, COLUMNS, contract, rows

pytestmark = [pytest.mark.slow, pytest.mark.soak]

TREES = ("lightgbm", "hist_boosting", "extra_trees", "random_forest")
PARITY_ROWS = times(5_000, 20_000)


def found(described: Contract, target: str, families: tuple[str, ...], trials: int) -> LoadedModel:
    frame = rows(target)
    # Many values: such a category becomes the mean target of its rows.
    numbered = frame["open"] + (frame.index % 7 + 1).astype(str)
    frame["open"] = frame["open"].where(frame["open"].isna(), numbered)
    if families != ("linear",):
        pytest.importorskip("lightgbm")
    result = find_model(
        model_frame(frame, described),
        target_values(frame, described),
        "regression" if described.problem == "regression" else "classification",
        Budget(trials=trials),
        families=families,
        seed=1,
    )
    return LoadedModel(result.model, described)


@pytest.mark.parametrize("target", list(CLASSES))
@pytest.mark.parametrize("family", TREES)
def test_every_family_of_trees_is_compiled_with_parity(
    family: str, target: str, tmp_path: Path
) -> None:
    described = contract(target, COLUMNS)
    model = found(described, target, (family,), 1)
    write_form(compile_pipeline(model.pipeline, described), tmp_path / "form")
    form = read_form(tmp_path / "form")
    served = CompiledModel(form, described, kernels=kernels())

    proof = prove_parity(model.pipeline, form, described, served.answers, PARITY_ROWS, seed=1)

    assert isinstance(form.model, Blend)
    assert proof.passed, proof
    assert proof.largest_difference <= 1e-9
    assert served.engine == ("kernel" if find_compiler() else "numpy")


@pytest.mark.parametrize("target", list(CLASSES))
def test_an_ensemble_has_the_same_bits_alone_and_in_a_batch(target: str) -> None:
    described = contract(target, COLUMNS)
    model = found(described, target, TREES, 8)
    form = compile_pipeline(model.pipeline, described)
    served = CompiledModel(form, described, kernels=kernels())
    numbers, codes = draw_rows(form, described, 2001, np.random.default_rng(3))

    together = served.answers(numbers, codes)

    alone = np.vstack([served.answers(numbers[[at]], codes[[at]]) for at in range(200)])
    assert np.array_equal(alone, together[:200])
    assert np.abs(score_arrays(form, numbers, codes) - together).max() < 1e-12
    row = served.row_scorer()
    row.numbers[:], row.codes[:] = numbers[:1], codes[:1]
    assert list(row.score()) == together[0].tolist()
    proof = prove_parity(model.pipeline, form, described, served.answers, PARITY_ROWS, seed=1)
    assert proof.passed, proof


def test_an_ensemble_with_another_family_serves_itself() -> None:
    described = contract("binary", COLUMNS)
    model = found(described, "binary", ("linear",), 1)

    with pytest.raises(NotCompilableError, match="AutoML prepares as 'dense'"):
        compile_pipeline(model.pipeline, described)


def test_a_blend_of_forms_for_other_rows_is_refused() -> None:
    described = contract("binary", COLUMNS)
    form = compile_pipeline(found(described, "binary", ("extra_trees",), 1).pipeline, described)

    def damaged(part: CompiledForm) -> CompiledForm:
        assert isinstance(form.model, Blend)
        member = form.model.members[0]
        forms = (part, *member.forms[1:])
        return replace(form, model=replace(form.model, members=(replace(member, forms=forms),)))

    first = form.model.forms[0] if isinstance(form.model, Blend) else form
    check_form(damaged(first))
    for part in (replace(first, numbers=("x",)), replace(first, bias=np.zeros(5)), form):
        with pytest.raises(CompiledFormError, match="is damaged"):
            check_form(damaged(part))
