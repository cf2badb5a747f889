"""The fast lane's decoder takes nothing that the schema refuses, and reads nothing differently."""

import json
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from goldpath.serving.http.json_bodies import parse_json
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.lane.request_structs import RequestDecoder, Values
from goldpath.serving.schemas import feature_rows, request_models

from ..counts import times
from .examples import PROBLEMS, contract_of, random_rows
from .mutation import mutate

TRIES = times(2_000, 10_000)
MOST_ROWS = 5


class Reader:
    """Both ways to read a body."""

    def __init__(self, problem: str) -> None:
        contract = contract_of(problem)
        self.names = contract.feature_names
        self.decoder = RequestDecoder(contract, self.names, MOST_ROWS)
        self.models = request_models(contract, by_key=False)

    def by_schema(self, body: bytes, model: Any) -> list[dict[str, Any]] | None:
        try:
            return feature_rows(model.model_validate(parse_json(body)))
        except (ValidationError, ProblemError):
            return None

    def by_decoder(self, body: bytes, *, several: bool) -> list[dict[str, Any]] | None:
        if several:
            batch = self.decoder.batch(body)
            return batch and self._rows(batch.structs, batch.columns)
        row = self.decoder.single(body)
        return row and self._rows([row.struct], [(value,) for value in row.values])

    def _rows(self, structs: list[Any], columns: Sequence[Values]) -> list[dict[str, Any]]:
        """The rows that are logged, which are those that are scored."""
        rows: list[dict[str, Any]] = [msgspec.to_builtins(struct) for struct in structs]
        scored = [list(values) for values in zip(*columns, strict=True)]
        assert scored == [[row[name] for name in self.names] for row in rows]
        return rows


@pytest.mark.soak
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_decoder_agrees_with_the_schema_on_mutated_bodies(problem: str, several: bool) -> None:
    reader = Reader(problem)
    dice = random.Random(f"{problem} {several}")
    rows = random_rows(contract_of(problem), 40, seed=31)
    models = reader.models
    model = models.batch("Batch", MOST_ROWS) if several else models.single("Single")
    taken = accepted = 0
    for _ in range(TRIES):
        content: Any = {"features": dice.choice(rows)}
        if several:
            content = {"instances": dice.sample(rows, dice.randrange(1, MOST_ROWS + 2))}
        text = json.dumps(content, ensure_ascii=dice.random() < 0.2)
        body = mutate(text.encode(), dice) if dice.random() < 0.9 else text.encode()
        expected = reader.by_schema(body, model)
        found = reader.by_decoder(body, several=several)
        accepted += expected is not None
        if found is not None:
            taken += 1
            assert expected is not None, body
            assert same(found, expected), body
    print(f"{TRIES} bodies: the schema accepts {accepted}, the decoder takes {taken}")
    assert accepted > TRIES / 20
    assert taken > accepted / 2, "hardly anything is left to the fast lane"


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    """Whether rows hold the same values; `true` is no 1, but 1.0 is."""
    return [plain(row) for row in found] == [plain(row) for row in expected]


def plain(row: dict[str, Any]) -> list[tuple[str, bool, Any]]:
    return [(name, type(value) is bool, value) for name, value in sorted(row.items())]
