"""Batches that are read without Python objects mean what the general decoder reads."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from goldpath.compiled.compiler import compile_pipeline
from goldpath.compiled.form import CompiledForm
from goldpath.compiled.json_rows import RowReader
from goldpath.compiled.native import build_kernel, find_compiler
from goldpath.contract import Contract
from goldpath.serving.lane.batch_rows import BatchWriter, batch_reader
from goldpath.serving.lane.request_structs import RequestDecoder
from goldpath.serving.lane.row_arrays import RowArrays

from ..counts import times
from ..model.test_json_rows import logged
from ..ready_made import kernels
from .examples import PROBLEMS, contract_of, fitted, random_rows
from .mutation import mutate
from .test_decoder_fuzz import same

TRIES = times(2_000, 10_000)
MOST_ROWS = 5

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")


def library() -> Path:
    found = build_kernel(kernels())
    assert found is not None
    return found


def form_of(problem: str) -> CompiledForm:
    return compile_pipeline(fitted(problem).pipeline, contract_of(problem))


def reader_of(contract: Contract, form: CompiledForm, most_rows: int = MOST_ROWS) -> RowReader:
    found = batch_reader(contract, form, library(), most_rows)
    assert found is not None
    return found


@pytest.mark.soak
@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_is_read_is_what_the_decoder_reads(problem: str) -> None:
    contract, form = contract_of(problem), form_of(problem)
    reader, arrays = reader_of(contract, form), RowArrays(form)
    decoder = RequestDecoder(contract, arrays.order, MOST_ROWS)
    dice = random.Random(problem)
    rows = random_rows(contract, 40, seed=31)
    taken = accepted = 0
    for _ in range(TRIES):
        content = {"instances": dice.sample(rows, dice.randrange(1, MOST_ROWS + 2))}
        text = json.dumps(content, ensure_ascii=dice.random() < 0.2)
        body = mutate(text.encode(), dice) if dice.random() < 0.9 else text.encode()
        expected, found = decoder.batch(body), reader.read(body)
        accepted += expected is not None
        if found is None:
            continue
        taken += 1
        assert expected is not None, body
        numbers, codes = arrays.arrays(expected.columns)
        np.testing.assert_array_equal(found.numbers.view(np.int64), numbers.view(np.int64))
        np.testing.assert_array_equal(found.codes, codes)
        lines = [json.loads(text) for text in logged(found)]
        assert same(lines, [msgspec.to_builtins(struct) for struct in expected.structs]), body
    assert accepted > TRIES / 20
    assert taken > accepted / 2


def test_a_text_that_was_never_seen_is_left_to_the_decoder() -> None:
    contract = contract_of("binary")
    reader = reader_of(contract, form_of("binary"))
    row = random_rows(contract, 1)[0]
    bodies = [
        json.dumps({"instances": [row | {"free text": text}]}).encode()
        for text in ("one", "never seen", "n/a", " one")
    ]
    assert [reader.read(body) is not None for body in bodies] == [True, False, False, False]


def test_a_category_that_the_model_never_saw_is_not_taken_for_a_missing_one() -> None:
    contract, form = contract_of("binary"), form_of("binary")
    seen, unseen = form.categories["país.über"]
    form = replace(form, categories={**form.categories, "país.über": (seen,)})
    texts = (seen, unseen, None)
    row = random_rows(contract, 1)[0] | {"free text": "one"}
    rows = [row | {"país.über": text} for text in texts]
    place = list(form.categories).index("país.über")

    read = reader_of(contract, form).read(json.dumps({"instances": rows}).encode())
    arrays = RowArrays(form)
    values = [tuple(each.get(name) for name in arrays.order) for each in rows]

    assert read is not None
    assert read.codes[:, place].tolist() == [0, 1, 2]
    assert arrays.of_rows(values)[1][:, place].tolist() == [0, 1, 2]
    assert arrays.arrays([*zip(*values, strict=True)])[1][:, place].tolist() == [0, 1, 2]


def test_a_form_of_other_features_has_no_reader() -> None:
    contract = contract_of("binary")
    fewer = contract.model_copy(update={"features": contract.features[1:]})
    assert batch_reader(fewer, form_of("binary"), library(), MOST_ROWS) is None


@pytest.mark.parametrize("problem", PROBLEMS)
def test_names_with_any_character_are_written_as_json(problem: str) -> None:
    contract = contract_of(problem)
    reader = reader_of(contract, form_of(problem))
    classes = tuple(f'{label} "%s"\\ü\n' for label in contract.target.classes)
    rows = reader.read(json.dumps({"instances": random_rows(contract, 3)}).encode())
    assert rows is not None
    answers = np.linspace(0.1, 0.9, 3 * (len(classes) or 1)).reshape(3, -1)
    best = answers.argmax(axis=1)
    target = contract.target.model_copy(update={"classes": classes})
    renamed = contract.model_copy(update={"target": target})
    writer = BatchWriter(renamed, form_of(problem), 'a "%s"', "1 %d", library())
    lines, body = writer.write(rows, answers, best, "0" * 24 + "f" * 12, "2026-01-01")
    answer: dict[str, Any] = json.loads(body)
    assert (answer["model_name"], answer["model_version"]) == ('a "%s"', "1 %d")
    written = [json.loads(line) for line in bytes(lines).splitlines()]
    for item, line, found in zip(answer["predictions"], written, answers.tolist(), strict=True):
        value = classes[found.index(max(found))] if classes else found[0]
        assert item["prediction"] == line["prediction"] == value
        shown = dict(zip(classes, found, strict=True)) if classes else None
        assert item["probabilities"] == shown
        score = found[1] if len(classes) == 2 else max(found)
        assert (line["score"], line["entity"], line["model_version"]) == (score, None, "1 %d")
        assert item["prediction_id"] == line["prediction_id"]
    assert len({item["prediction_id"] for item in answer["predictions"]}) == 3
