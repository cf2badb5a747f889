"""The sample is deterministic, its ceiling is right, and its defects are the stated ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from goldpath.cli.sources import sample
from goldpath.learning.metrics import area_under_roc
from goldpath.sample.customers import (
    SampleError,
    bayes_auc,
    parse_drift,
    true_probabilities,
    write_sample,
)


def test_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    write_sample(tmp_path / "a.csv", 500, 3, {})
    write_sample(tmp_path / "b.csv", 500, 3, {})
    write_sample(tmp_path / "c.csv", 500, 4, {})

    first = (tmp_path / "a.csv").read_bytes()
    assert first == (tmp_path / "b.csv").read_bytes()
    assert first != (tmp_path / "c.csv").read_bytes()


def test_the_command_writes_the_history_of_the_default_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "project.yaml").write_text("")
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    folder = tmp_path / "data" / "sample"
    history = {"payments/customers.csv", "tickets/customers.csv"}

    def written() -> set[str]:
        return {path.relative_to(folder).as_posix() for path in folder.glob("*/*.csv")}

    sample(rows=200, history=False)
    assert written() == set()
    sample(rows=200)
    assert written() == history
    kept = (folder / "payments" / "customers.csv").read_bytes()
    sample(rows=200, drift=["monthly_charges=1"], output=Path("data/sample/shifted.csv"))
    assert written() == history
    assert (folder / "payments" / "customers.csv").read_bytes() == kept
    sample(rows=200, seed=8, output=Path("data/sample/more.csv"), history=True)
    assert written() == {*history, "payments/more.csv", "tickets/more.csv"}


def test_ceiling_is_the_auc_of_the_true_probabilities(tmp_path: Path) -> None:
    result = write_sample(tmp_path / "a.csv", 20_000, 3, {})
    lines = pd.read_csv(tmp_path / "a.csv").drop_duplicates("customer_id", keep="last")
    lines = lines[lines["churned"].isin(["yes", "no"])].set_index("customer_id")
    probability = true_probabilities(tmp_path / "a.csv")
    assert probability is not None
    known = lines.index.intersection(probability.index)

    realised = area_under_roc(
        (lines.loc[known, "churned"] == "yes").to_numpy(), probability.loc[known].to_numpy()
    )

    assert 0.8 < result.bayes_auc < 0.9
    assert realised == pytest.approx(result.bayes_auc, abs=0.01)


def test_expected_auc_agrees_with_every_pair_counted() -> None:
    p = np.random.default_rng(0).random(40)
    right = sum(p[i] * (1 - p[j]) * (p[i] > p[j]) for i in range(40) for j in range(40) if i != j)
    pairs = sum(p[i] * (1 - p[j]) for i in range(40) for j in range(40) if i != j)
    assert bayes_auc(p) == pytest.approx(right / pairs)


def test_file_has_gaps_duplicates_and_bad_rows(tmp_path: Path) -> None:
    result = write_sample(tmp_path / "a.csv", 5_000, 3, {})
    lines = pd.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)

    assert result.lines == len(lines) > result.customers
    assert (lines["satisfaction"] == "").mean() == pytest.approx(0.35, abs=0.03)
    assert lines.duplicated().sum() >= 40
    assert {"-4", "abc", "lifetime", "9999"} <= set(lines.to_numpy().ravel())


def test_drift_shifts_the_named_feature_by_the_stated_amount(tmp_path: Path) -> None:
    write_sample(tmp_path / "a.csv", 5_000, 3, {})
    write_sample(tmp_path / "b.csv", 5_000, 3, {"monthly_charges": 1.0})

    def charges(name: str) -> pd.Series:
        text = pd.read_csv(tmp_path / name, dtype=str)["monthly_charges"]
        return pd.to_numeric(text, errors="coerce").dropna()

    shift = charges("b.csv").mean() - charges("a.csv").mean()
    assert shift == pytest.approx(charges("a.csv").std(), rel=0.05)


@pytest.mark.parametrize("text", ["region=1", "monthly_charges", "age=old", "age=inf"])
def test_drift_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(SampleError, match="--drift"):
        parse_drift([text])
