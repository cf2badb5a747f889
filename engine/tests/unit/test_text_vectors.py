"""Free text as numbers: what is learned, that no target leaks, and that it is stored as arrays."""

from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from skops.io import dumps, loads

from goldpath.automl.budget import Budget
from goldpath.automl.columns import Kind, column_kind
from goldpath.automl.engine import run_of
from goldpath.automl.preparation import TablePreparation
from goldpath.compiled.compiler import NotCompilableError, compile_pipeline
from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.learning.columns import Columns
from goldpath.learning.families import BUILT_IN, trusted_types
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.search import fit
from goldpath.learning.text import vectors
from goldpath.learning.text.sizes import TextSizes
from goldpath.learning.text.vectors import TextVectors
from goldpath.project import Model

WORDS = [f"word{number}" for number in range(60)]
CONTRACT = Contract.model_validate(
    {
        "dataset": "messages",
        "problem": "classification",
        "source": {"path": "messages.csv"},
        "target": {"column": "left", "classes": ["no", "yes"]},
        "features": [
            {"name": "message", "type": "text", "nullable": True},
            {"name": "age", "type": "integer"},
            {"name": "plan", "type": "category", "categories": ["a", "b"]},
        ],
    }
)
INSTALLED = [
    name for name, each in BUILT_IN.items() if all(find_spec(module) for module in each.requires)
]
SMALL = {
    "boosting": {"max_iter": 20},
    "lightgbm": {"rounds": 20},
    "xgboost": {"rounds": 20},
    "catboost": {"iterations": 20},
}


def rows(count: int = 400, seed: int = 0) -> pd.DataFrame:
    """Texts of ten words; the words `refund` and `thanks` tell the target, two of ten times."""
    dice = np.random.default_rng(seed)
    yes = dice.random(count) < 0.5
    tells = np.where(dice.random(count) < 0.1, ~yes, yes)
    texts = [
        " ".join(dice.permutation([*dice.choice(WORDS, 9), "Refund!" if told else "thanks"]))
        for told in tells
    ]
    return pd.DataFrame(
        {
            "message": pd.Series(texts).mask(dice.random(count) < 0.05, None),
            "age": dice.integers(18, 80, count),
            "plan": dice.choice(["a", "b"], count),
            "left": np.where(yes, "yes", "no"),
        }
    )


@pytest.mark.parametrize("name", INSTALLED)
def test_every_family_learns_from_words_and_is_stored_without_pickle(name: str) -> None:
    new = rows(300, seed=1)
    parameters = {**BUILT_IN[name].defaults, **SMALL.get(name, {})}
    model = fit(rows(), CONTRACT, name, parameters, seed=0)
    scores = model.predict(new).scores
    assert roc_auc_score(new["left"] == "yes", scores) > 0.8
    again = loads(dumps(model.pipeline), trusted=list(trusted_types(Model())))
    assert list(LoadedModel(again, CONTRACT).predict(new).scores) == list(scores)
    with pytest.raises(NotCompilableError, match="message"):
        compile_pipeline(model.pipeline, CONTRACT)


def test_one_row_gets_the_numbers_that_it_gets_among_others() -> None:
    made = TextVectors(seed=3)
    made.fit(rows()[["message"]], rows()["left"])
    new = rows(20, seed=4)[["message"]]
    together = made.transform(new)
    alone = np.vstack([made.transform(new.iloc[[place]]) for place in range(len(new))])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-12)
    assert together.shape == (20, 32 + 1 + 1)


def test_the_estimates_of_training_rows_do_not_know_their_own_target() -> None:
    """With words that no row shares with another one, an estimate that knew it would be right."""
    texts = pd.DataFrame({"message": [f"only{number} here{number}" for number in range(300)]})
    target = np.random.default_rng(5).choice(["no", "yes"], 300)
    made = TextVectors()
    estimates = made.fit_transform(texts, target)[:, -1]
    assert roc_auc_score(target == "yes", estimates) < 0.6
    assert roc_auc_score(target == "yes", made.transform(texts)[:, -1]) > 0.95


@pytest.mark.parametrize(
    ("target", "columns"),
    [(["a", "b", "c"], 3), (["a", "b"], 1), ([0.5, 1.5, 2.5], 1)],
    ids=["classes", "two classes", "a number"],
)
def test_each_target_has_an_estimate(target: list[object], columns: int) -> None:
    texts = np.array([["red apple"], ["green pear"], [None]] * 10, dtype=object)
    made = TextVectors(axes=2)
    found = made.fit_transform(texts, np.resize(np.array(target), 30))
    assert found.shape == (30, 2 + 1 + columns)
    assert np.isfinite(found).all()
    assert found[2, 2] == 0


def test_a_column_without_a_word_is_no_error() -> None:
    texts = np.array([[None], ["!?"]] * 20, dtype=object)
    found = TextVectors().fit_transform(texts, np.resize(np.array(["no", "yes"]), 40))
    assert found.shape == (40, 2)
    assert np.isfinite(found).all()


def test_few_terms_stay_as_they_are() -> None:
    made = TextVectors(axes=5).fit(np.array([["red"], ["blue"]], dtype=object))
    assert made.terms_.tolist() == ["blue", "red"]
    assert made.transform(np.array([["Red, red"]], dtype=object))[0, :2].tolist() == [0, 1]


def test_a_token_that_is_longer_than_words_are_takes_no_memory() -> None:
    texts = np.array([[f"order {number} late"] for number in range(300)], dtype=object)
    texts[7] = f"see {'a' * 4_800} there"
    made = TextVectors().fit(texts)
    assert made.terms_.nbytes < 300_000
    assert "see there" in made.terms_


def test_what_fits_are_remembered_is_bounded_by_their_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fits = vectors._Fits()
    monkeypatch.setattr(vectors, "KEPT_BYTES", 1_000)
    for number in range(20):
        fits.put(bytes([number]), {"terms_": np.zeros(10), "axes_": None}, np.zeros((5, 4)))
    assert fits.bytes == 960
    assert [bool(fits.get(bytes([number]))) for number in (15, 16, 19)] == [False, True, True]
    fits.put(b"large", {"terms_": np.zeros(1_000)}, np.zeros((5, 4)))
    assert (fits.bytes, fits.get(b"large")) == (0, None)


def test_a_second_fit_forgets_the_words_of_the_first() -> None:
    made = TextVectors()
    for words in ("red blue", "green grey"):
        texts = np.array([[word] for word in words.split()], dtype=object)
        made.fit(texts)
        assert made.transform(texts)[:, :2].sum() == 2


def test_the_sizes_reach_the_encoder() -> None:
    columns = Columns(CONTRACT, 7, TextSizes(terms=100, axes=4))
    (_, pipeline, chosen) = columns.coded().transformers[-1]
    assert chosen == ["message"]
    assert (pipeline[0].terms, pipeline[0].axes, pipeline[0].seed) == (100, 4, 7)
    assert columns.coded_categories == [1]


def test_automl_reads_words_too() -> None:
    data = rows()
    assert column_kind(data["message"]) == Kind.WORDS
    made = TablePreparation("trees", outputs=2)
    made.fit_transform(data[["message", "age"]], (data["left"] == "yes").to_numpy().astype(int))
    again = loads(dumps(made), trusted=list(trusted_types(Model())))
    new = rows(200, seed=8)
    encoded = again.transform(new[["message", "age"]])
    np.testing.assert_array_equal(encoded, made.transform(new[["message", "age"]]))
    assert roc_auc_score(new["left"] == "yes", encoded[:, -1]) > 0.8


def test_automl_reads_what_is_said_to_be_text_at_the_sizes_that_are_said() -> None:
    dice = np.random.default_rng(6)
    yes = dice.random(300) < 0.5
    replies = [f"{'refund' if told else 'thanks'} {dice.choice(WORDS)}" for told in yes]
    data = pd.DataFrame({"reply": replies, "none": None, "age": dice.integers(18, 80, 300)})
    assert column_kind(data["reply"]) == Kind.MANY
    run = run_of(
        data,
        yes,
        "classification",
        Budget(trials=1),
        texts=["reply", "none"],
        text_sizes=TextSizes(terms=50, axes=4),
    )
    encoded = run.evaluator.parts(None, "trees").train
    made = run.evaluator.preparations[None, "trees"]
    assert made.kinds_ == ["text", "constant", "number"]
    assert (len(made.vectors_["reply"].terms_), encoded.shape) == (50, (300, 1 + 4 + 1 + 1))
    assert run.findings == []
    alone = run_of(data[["reply"]], yes, "classification", Budget(trials=1), texts=["reply"])
    assert alone.evaluator.parts(None, "trees").train.shape == (300, 32 + 1 + 1)
    with pytest.raises(ProjectError, match="texts names columns that the table lacks: x"):
        run_of(data, yes, "classification", Budget(trials=1), texts=["x"])
