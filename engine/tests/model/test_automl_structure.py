"""A search sees from the table whether rows follow each other in time or belong to groups."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath.automl import budget as budgets
from goldpath.automl.budget import Budget
from goldpath.automl.engine import find_model
from goldpath.automl.folds import make_folds
from goldpath.automl.result import AutoMLResult
from goldpath.automl.structure.findings import Finding
from goldpath.automl.structure.keys import never_come_back
from goldpath.automl.structure.structure import Structure, find_structure
from goldpath.automl.task import make_task
from goldpath.contract import ROW_ID, Contract
from goldpath.errors import ProjectError
from goldpath.jobs.training.automl import _folds
from goldpath.jobs.training.findings import for_project, in_project
from goldpath.learning.frames import model_frame
from goldpath.settings import Settings

ROWS = 600
Table = tuple[pd.DataFrame, np.ndarray]


def independent(seed: int) -> Table:
    """Rows that have nothing to do with each other, with columns that might mislead."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "row_id": np.arange(ROWS),
            "x": random.normal(size=ROWS),
            "age": random.integers(18, 90, ROWS),
            "city": random.choice([f"city {k}" for k in range(12)], ROWS),
            "customer_id": random.integers(0, 200, ROWS),
            "born": pd.Timestamp("1950-01-01")
            + pd.to_timedelta(random.integers(0, 20_000, ROWS), unit="D"),
        }
    )
    return frame, np.asarray(
        frame["x"] + frame["age"] / 30 + (frame["city"] == "city 3") + random.normal(size=ROWS)
    )


def ordered(seed: int, kind: str, rows: int = ROWS) -> Table:
    """A trend, and a level that wanders; the time is told as `kind` says, or not at all."""
    random = np.random.default_rng(seed)
    level = np.zeros(rows)
    for step in range(1, rows):
        level[step] = 0.95 * level[step - 1] + random.normal(scale=0.4)
    days = pd.date_range("2021-03-01", periods=rows)
    hidden = {"temperature": level + random.normal(scale=0.3, size=rows)}
    columns: dict[str, dict[str, Any]] = {
        "parts": {"year": days.year, "month": days.month, "day": days.day},
        "text": {"date": days.strftime("%Y-%m-%d")},
        "falling": {"sold_at": days},
        "counter": {"instant": np.arange(rows) + 1},
        "unnamed": {},
    }
    frame = pd.DataFrame({**columns[kind], **hidden, "x": random.normal(size=rows)})
    target = level + frame["x"] + np.arange(rows) / rows + random.normal(scale=0.3, size=rows)
    if kind == "falling":
        return frame[::-1].reset_index(drop=True), target.to_numpy()[::-1]
    return frame, target.to_numpy()


def grouped(seed: int, kind: str, groups: int = 80, rows: int = ROWS) -> Table:
    """Each group has a level of its own, and features that tell which group it is."""
    random = np.random.default_rng(seed)
    group = random.integers(0, groups, rows)
    height, level = random.normal(size=groups)[group], random.normal(size=groups)[group]
    key = {
        "number": group + 1000,
        "text": np.array([f"P{k:04}" for k in group]),
    }[kind]
    frame = pd.DataFrame({"patient_id": key, "height": height, "x": random.normal(size=rows)})
    return frame, np.asarray(
        1.5 * level + 0.3 * height + frame["x"] + random.normal(scale=0.5, size=rows)
    )


def structure_of(table: Table, *, as_classes: bool = False, **told: Any) -> Structure:
    frame, target = table
    problem: Any = "classification" if as_classes else "regression"
    labels = np.digitize(target, np.quantile(target, [0.6, 0.9])) if as_classes else target
    task = make_task(labels, problem, None, 1, 0)
    given: dict[str, Any] = {"has_folds": False, "time_ordered": None, "groups": None, **told}
    return find_structure(frame, task, **given)


@pytest.mark.parametrize("as_classes", [True, False])
def test_rows_that_are_independent_raise_no_alarm(as_classes: bool) -> None:
    found = [structure_of(independent(seed), as_classes=as_classes) for seed in range(15)]

    assert [(one.folds, one.findings) for one in found] == [("random", ())] * 15


@pytest.mark.parametrize("as_classes", [True, False])
@pytest.mark.parametrize("kind", ["parts", "text", "falling", "counter"])
def test_an_order_that_a_column_tells_is_used(kind: str, as_classes: bool) -> None:
    found = [structure_of(ordered(seed, kind), as_classes=as_classes) for seed in range(10)]

    used = [one for one in found if one.folds == "time"]
    assert len(used) >= 9
    oldest = ROWS - 1 if kind == "falling" else 0
    assert all(one.order is not None and one.order[0] == oldest for one in used)
    assert all("time_ordered=False" in one.findings[0].option for one in used)


def test_an_order_that_no_column_tells_is_asked_for() -> None:
    found = [structure_of(ordered(seed, "unnamed")) for seed in range(10)]

    asked = [one for one in found if one.folds == "random" and one.findings]
    assert len(asked) >= 9
    assert all(one.findings[0].option == "time_ordered=True" for one in asked)
    assert "If so, say time_ordered=True." in asked[0].findings[0].sentence


def test_rows_that_are_not_in_the_order_of_a_time_are_asked_for() -> None:
    frame, target = ordered(0, "text")
    mixed = np.random.default_rng(0).permutation(ROWS)

    found = structure_of((frame.iloc[mixed].reset_index(drop=True), target[mixed]))

    assert found.folds == "random"
    assert "not in its order" in found.findings[0].evidence
    assert found.findings[0].question


@pytest.mark.parametrize(("name", "folds"), [("birth_year", "random"), ("year", "time")])
def test_a_lone_year_of_something_is_asked_for(name: str, folds: str) -> None:
    frame, target = ordered(0, "unnamed")

    found = structure_of((frame.assign(**{name: 1950 + np.arange(ROWS) // 10}), target))

    assert found.folds == folds
    assert found.findings[0].column == name
    assert bool(found.findings[0].question) == (folds == "random")


@pytest.mark.parametrize("as_classes", [True, False])
@pytest.mark.parametrize("kind", ["number", "text"])
def test_groups_that_a_key_tells_are_used(kind: str, as_classes: bool) -> None:
    found = [structure_of(grouped(seed, kind), as_classes=as_classes) for seed in range(10)]

    used = [one for one in found if (one.folds, one.group_column) == ("groups", "patient_id")]
    assert len(used) >= 9
    assert all("groups=False" in one.findings[0].option for one in used)


def test_groups_of_a_column_that_is_not_named_as_a_key_are_asked_for() -> None:
    frame, target = grouped(0, "number")

    found = structure_of((frame.rename(columns={"patient_id": "v"}), target))

    assert found.folds == "random"
    assert found.findings[0].option == 'groups="v"'


def test_rows_that_are_sorted_by_the_target_are_no_order_in_time() -> None:
    frame, target = independent(0)
    by_value = np.argsort(target)
    sorted_rows = frame.iloc[by_value].reset_index(drop=True).assign(row_id=np.arange(ROWS))

    found = structure_of((sorted_rows, target[by_value]))

    assert found.folds == "random"
    assert found.findings[0].evidence == "the rows are sorted by the target"


def test_of_entities_over_time_the_time_decides_and_the_groups_are_asked_for() -> None:
    random = np.random.default_rng(0)
    shops, days = 30, 40
    frame = pd.DataFrame(
        {
            "shop_id": np.repeat(np.arange(shops), days),
            "date": np.tile(pd.date_range("2024-01-01", periods=days), shops),
        }
    )
    wander = np.cumsum(random.normal(scale=0.4, size=(shops, days)), axis=1).ravel()
    found = structure_of((frame, np.repeat(random.normal(size=shops), days) + wander))

    assert found.folds == "time"
    assert found.order is not None
    assert frame["date"].iloc[found.order].is_monotonic_increasing
    assert [(one.about, bool(one.question)) for one in found.findings] == [
        ("order", False),
        ("groups", True),
    ]


def test_what_the_caller_says_is_done() -> None:
    table = ordered(0, "parts")
    assert structure_of(table, time_ordered=False).folds == "random"
    assert structure_of(grouped(0, "text"), groups=False).folds == "random"
    told = structure_of(independent(0), groups="city")
    assert (told.folds, told.group_column, told.findings) == ("groups", "city", ())
    with pytest.raises(ProjectError, match="'town', and the features have none"):
        structure_of(independent(0), groups="town")
    with pytest.raises(ProjectError, match="were given together"):
        structure_of(table, time_ordered=True, groups="day")


def test_an_order_that_is_told_and_seems_to_be_backwards_is_asked_for() -> None:
    found = structure_of(ordered(0, "falling"), time_ordered=True)

    assert found.folds == "time"
    assert "the rows fall with sold_at" in found.findings[0].evidence
    assert found.findings[0].question
    assert structure_of(ordered(0, "text"), time_ordered=True).findings == ()


def test_rows_without_a_key_are_each_a_group_of_their_own() -> None:
    frame, target = grouped(0, "text")
    lost = np.arange(0, ROWS, 15)
    frame.loc[lost, "patient_id"] = None
    frame["same"] = "of all"

    found, told = structure_of((frame, target)), structure_of((frame, target), groups="patient_id")
    values = structure_of((frame, target), groups=frame["patient_id"].to_numpy())

    for one in (found, told, values):
        assert one.folds == "groups"
        assert one.groups is not None
        sizes = np.bincount(one.groups)
        assert sizes[one.groups[lost]].tolist() == [1] * len(lost)
        assert len(sizes) == frame["patient_id"].nunique() + len(lost)
    assert "80 values in 560 rows and none in 40" in found.findings[0].evidence
    assert "each of the 40 rows without one being a group of its own" in found.findings[0].done
    for one, name in ((told, "patient_id"), (values, "the groups")):
        assert one.findings[0].sentence == (
            f"{name} has no value in 40 rows; each of these rows is a group of its own."
        )


def test_copies_of_rows_stay_together_and_do_not_end_the_look_for_order_and_groups() -> None:
    copies = np.arange(ROWS)
    copies[1] = 0

    grouped_rows = structure_of(grouped(0, "text"), together=copies)
    plain = structure_of(independent(0), together=copies)
    ordered_rows = structure_of(ordered(0, "text"), together=copies)

    assert (grouped_rows.folds, grouped_rows.group_column) == ("groups", "patient_id")
    assert (plain.folds, plain.groups is copies, plain.findings) == ("random", True, ())
    assert (ordered_rows.folds, ordered_rows.groups) == ("time", None)


def test_in_a_project_findings_name_settings_and_commands_that_do_what_they_say() -> None:
    groups = structure_of(grouped(0, "number")).findings[0]
    used = for_project(groups).sentence
    assert "the test score is for values of patient_id that are known" in used
    assert "Say split: stratified in config/training.yaml where the rows to predict" in used
    assert used.endswith(
        "where they have new ones, ID=patient_id to make adopt, then make data: the test rows are "
        "then divided so, too."
    )
    asked = for_project(replace(groups, question="New ones?")).sentence
    assert asked.endswith("New ones? If so, say ID=patient_id to make adopt, then make data.")
    in_time = for_project(structure_of(ordered(0, "text")).findings[0]).sentence
    assert "the test score is for rows of the same time" in in_time
    unnamed = structure_of(ordered(0, "unnamed")).findings[0]
    for column in ("", "year, month"):
        several = for_project(replace(unnamed, column=column)).sentence
        assert "If so, say TIME=COLUMN to make adopt, with a column added" in several
    key = Finding("key", "v", "hardly a value", "v is no feature")
    assert for_project(key) == key


def test_in_a_project_the_look_goes_on_where_rows_have_copies(project: Settings) -> None:
    contract = Contract.model_validate(
        {
            "dataset": "visits",
            "problem": "regression",
            "source": {"path": "visits.csv"},
            "target": {"column": "pressure"},
            "features": [
                {"name": "patient_id", "type": "category"},
                {"name": "height", "type": "number"},
                {"name": "x", "type": "number"},
            ],
        }
    )
    frame, target = grouped(0, "text")
    rows = frame.assign(pressure=target, **{ROW_ID: np.arange(ROWS)})
    rows.iloc[1, :4] = rows.iloc[0, :4]
    work: Any = SimpleNamespace(train_rows=rows, contract=contract, settings=project)

    told = _folds(work)
    table = model_frame(rows, contract), rows["pressure"].to_numpy()
    result = in_project(
        find_model(*table, "regression", Budget(trials=1), families=["linear"], **told)
    )

    assert list(told) == ["together"]
    assert result.folds_by == "groups"
    assert "ID=patient_id to make adopt" in result.findings[0].option


def test_a_key_whose_values_do_not_come_back_is_no_feature() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "order_id": [f"A{k}" for k in np.repeat(np.arange(200), 3)],
            "x": random.normal(size=ROWS),
        }
    )
    target = frame["x"] + random.normal(size=ROWS)
    found = structure_of((frame, np.asarray(target)))
    task = make_task(target, "regression", None, 1, 0)
    by_time, mixed = (
        make_folds(task, folds=None, time_ordered=is_ordered, groups=None)
        for is_ordered in (True, False)
    )

    assert never_come_back(found.repeating, np.arange(ROWS), by_time) == ["order_id"]
    assert never_come_back(found.repeating, np.arange(ROWS), mixed) == []
    result = find_model(
        frame, target, "regression", Budget(trials=1), families=["linear"], time_ordered=True
    )
    changed = frame.assign(order_id="never seen")
    assert np.array_equal(result.model.predict(frame), result.model.predict(changed))
    assert [(one.about, one.column) for one in result.findings] == [("key", "order_id")]


def search(table: Table, **told: Any) -> AutoMLResult:
    # A line and trees: the folds decide here, and not how long was searched.
    families = ("extra_trees", "linear")
    return find_model(*table, "regression", Budget(trials=2), families=families, seed=3, **told)


def error(result: AutoMLResult, table: Table) -> float:
    return float(np.sqrt(np.mean((result.model.predict(table[0]) - table[1]) ** 2)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_estimate_holds_for_rows_that_are_newer(seed: int) -> None:
    frame, target = ordered(seed, "parts", 900)
    learned, newer = (frame[:700], target[:700]), (frame[700:], target[700:])

    found, told_otherwise = search(learned), search(learned, time_ordered=False)

    assert found.folds_by == "time"
    assert found.interval is not None
    assert found.interval[0] <= error(found, newer) <= found.interval[1]
    # Random folds know the days around each judged one.
    assert told_otherwise.score < found.score


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_estimate_holds_for_groups_that_are_new(seed: int) -> None:
    frame, target = grouped(seed, "text", groups=120, rows=900)
    is_new = frame["patient_id"] >= "P0090"
    learned = frame[~is_new].reset_index(drop=True), target[~is_new]
    unknown = frame[is_new].reset_index(drop=True), target[is_new]

    found, told_otherwise = search(learned), search(learned, groups=False)

    assert found.folds_by == "groups"
    assert found.interval is not None
    assert found.interval[0] <= error(found, unknown) <= found.interval[1]
    assert told_otherwise.interval is not None
    assert error(told_otherwise, unknown) > told_otherwise.interval[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_estimate_holds_for_independent_rows(seed: int) -> None:
    frame, target = independent(seed)

    found = search((frame[:400], target[:400]))

    assert found.folds_by == "random"
    assert found.interval is not None
    assert found.interval[0] <= error(found, (frame[400:], target[400:])) <= found.interval[1]


@pytest.mark.parametrize(
    ("families", "done"), [(["linear"], "a constant prediction"), (None, "was cut short")]
)
def test_a_budget_that_is_over_before_any_model_ends_with_one_and_says_so(
    families: list[str] | None, done: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine that is so busy that each look at the clock finds another second gone.
    looks = iter(range(10**9))
    monkeypatch.setitem(budgets.CLOCKS, "wall", lambda: float(next(looks)))
    frame, target = independent(0)

    result = find_model(frame, target, "regression", Budget(seconds=1.5), families=families)

    assert len(result.model.predict(frame[:3])) == 3
    assert result.score <= 1.01 * result.baseline_score
    said: Finding = result.findings[-1]
    assert "over before any model was fitted" in said.sentence
    assert done in said.sentence
    assert "give more seconds" in said.sentence
