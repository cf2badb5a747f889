"""Window features in gold: the values at each row's time, and which intervals are made anew."""

import pytest

from goldpath import Aggregate, Project, Row, Rows, Value, row_feature, window_feature
from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.features.learned import learned_contract
from goldpath.features.row.tracing import RowFeature
from goldpath.features.window.feature import WindowFeature
from goldpath.jobs.data.leaks import check_leaks
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.own_definitions import check_definitions
from goldpath.jobs.privacy.forgetting import forget
from goldpath.jobs.upkeep.status import project_status
from goldpath.jobs.windows.model_windows import (
    gold_holds_windows,
    source_rows_of,
    table_with_windows,
)
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.lake.lakehouse import TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.lake.tables import gold_table
from goldpath.settings import Settings, load_settings
from goldpath.testing import assert_feature, tiny_lake

from ..prepared_projects import PreparedProjects

PAYMENTS = """\
source: {path: pay}
entity: client
event_time: {column: paid_at}
key: payment_id
columns:
- {name: amount, type: number, minimum: 0}
- {name: method, type: category, nullable: true}
"""
CONTRACT = Contract.model_validate(
    {
        "dataset": "shop",
        "problem": "classification",
        "source": {"path": "in"},
        "entity": "id",
        "event_time": {"column": "day"},
        "target": {"column": "bought", "classes": ["no", "yes"]},
        "features": [{"name": "amount", "type": "number"}],
    }
)
PEOPLE = """\
c1,2026-01-15,1,no
c1,2026-03-15,2,yes
c1,2026-06-15,3,no
c2,2026-03-15,4,no
c9,2026-03-15,5,yes
"""
PAID = """\
p1,c1,2026-01-05,10,card
p2,c1,2026-01-15,20,cash
p3,c2,2026-02-20,5,card
p4,c1,2026-03-01,40,card
"""


@window_feature(source="payments", over="30d")
def paid(payments: Rows) -> dict[str, Aggregate]:
    return {"total": payments.amount.sum(), "count": payments.count(), "by": payments.method.last()}


@row_feature
def paid_each(row: Row) -> Value:
    return row.paid_total_30d / row.paid_count_30d


def with_features(settings: Settings, *features: RowFeature | WindowFeature) -> Settings:
    return load_settings(settings.root, Project(features=lambda: features))


def deliver(settings: Settings, name: str, lines: str) -> None:
    header = "payment_id,client,paid_at,amount,method\n"
    if name.startswith("in/"):
        header = "id,day,amount,bought\n"
    file = settings.root / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(header + lines, encoding="utf-8")


def gold(settings: Settings, *columns: str) -> dict[str, tuple[object, ...]]:
    lakehouse = LocalLakehouse(settings)
    held = lakehouse.collect(lakehouse.read(gold_table(CONTRACT))).to_pylist()
    return {
        f"{row['id']} {row['event_time']:%m-%d}": tuple(row[each] for each in columns)
        for row in held
    }


def describe_payments(project: Settings) -> Settings:
    sources = project.root / "config" / "sources"
    sources.mkdir()
    (sources / "payments.yaml").write_text(PAYMENTS, encoding="utf-8")
    return project


def delivered_shop(project: Settings) -> None:
    """Two sources in the lake, and gold with the windows of one."""
    describe_payments(project)
    deliver(project, "in/a.csv", PEOPLE)
    deliver(project, "pay/a.csv", PAID)
    refresh(with_features(project, paid, paid_each), CONTRACT)


@pytest.fixture
def shop(prepared_projects: PreparedProjects) -> Settings:
    settings, _ = prepared_projects.restore(delivered_shop)
    return with_features(settings, paid, paid_each)


VALUES = {
    "c1 01-15": (10.0, 1, "card", 10.0),  # a payment at the row's time is not before it
    "c1 03-15": (40.0, 1, "card", 40.0),
    "c1 06-15": (0.0, 0, None, None),
    "c2 03-15": (5.0, 1, "card", 5.0),
    "c9 03-15": (0.0, 0, None, None),  # whom the source does not know
}
COLUMNS = ("paid_total_30d", "paid_count_30d", "paid_by_30d", "paid_each")


def test_gold_has_the_windows_of_each_row_at_its_time(shop: Settings) -> None:

    assert gold(shop, *COLUMNS) == VALUES
    assert refresh(shop, CONTRACT).recomputed == ()


def test_a_late_payment_makes_only_the_intervals_anew_that_it_can_change(shop: Settings) -> None:
    deliver(shop, "pay/b.csv", "p5,c1,2026-02-20,7,cash\n")

    result = refresh(shop, CONTRACT)

    assert result.recomputed == ("2026-03",)
    assert result.sources["payments"].recomputed == ("2026-02",)
    assert gold(shop, *COLUMNS) == {**VALUES, "c1 03-15": (47.0, 2, "card", 23.5)}


def test_a_payment_that_no_window_reaches_makes_nothing_anew(shop: Settings) -> None:
    deliver(shop, "pay/b.csv", "p5,c1,2025-06-20,7,cash\np6,c1,2026-08-01,7,cash\n")

    assert refresh(shop, CONTRACT).recomputed == ()
    assert gold(shop, *COLUMNS) == VALUES


def test_a_payment_that_moves_to_another_day_changes_both(shop: Settings) -> None:
    deliver(shop, "pay/b.csv", "p1,c1,2026-06-01,10,card\n")

    # A window of March reaches into January, and intervals of sources are known as a whole.
    assert refresh(shop, CONTRACT).recomputed == ("2026-01", "2026-03", "2026-06")
    assert gold(shop, *COLUMNS) == {
        **VALUES,
        "c1 01-15": (0.0, 0, None, None),
        "c1 06-15": (10.0, 1, "card", 10.0),
    }


def test_another_formula_makes_all_intervals_anew(shop: Settings) -> None:
    other = window_feature(source="payments", over="30d", name="paid")(
        lambda payments: {"total": payments.where(payments.method == "card").amount.sum()}
    )
    edited = with_features(shop, other)

    assert refresh(edited, CONTRACT).recomputed == ("2026-01", "2026-03", "2026-06")
    assert gold(edited, "paid_total_30d")["c1 03-15"] == (40.0,)


def test_a_version_gets_its_own_windows_when_gold_has_others(shop: Settings) -> None:
    learned = learned_contract(shop, CONTRACT)
    lakehouse = LocalLakehouse(shop)
    first = gold_snapshot(lakehouse, CONTRACT)
    assert gold_holds_windows(lakehouse, learned, learned, first)
    other = window_feature(source="payments", over="60d", name="paid")(
        lambda payments: {"total": payments.amount.sum()}
    )
    edited = with_features(shop, other)
    new = learned_contract(edited, CONTRACT)
    # As long as gold is not made with the new formula, it is nobody's.
    assert not gold_holds_windows(lakehouse, new, new, first)
    refresh(edited, CONTRACT)
    second = gold_snapshot(lakehouse, CONTRACT)
    assert gold_holds_windows(lakehouse, new, new, second)
    assert not gold_holds_windows(lakehouse, learned, new, second)
    assert not gold_holds_windows(lakehouse, new, new, first)  # as after a rollback

    rows = lakehouse.collect(lakehouse.read(gold_table(CONTRACT)))
    held = table_with_windows(lakehouse, rows, learned).to_pylist()

    assert {f"{row['id']} {row['event_time']:%m-%d}": row["paid_total_30d"] for row in held} == {
        name: values[0] for name, values in VALUES.items()
    }
    assert list(source_rows_of(lakehouse, learned)) == ["payments"]


def test_rows_without_a_time_have_no_windows(shop: Settings) -> None:
    lakehouse = LocalLakehouse(shop)
    rows = lakehouse.collect(lakehouse.read(gold_table(CONTRACT)).drop("event_time"))

    with pytest.raises(ProjectError, match="the rows lack event_time"):
        table_with_windows(lakehouse, rows, learned_contract(shop, CONTRACT))


def test_a_source_without_a_row_that_counts_gives_what_nobody_has(project: Settings) -> None:
    shop = with_features(describe_payments(project), paid, paid_each)
    deliver(shop, "in/a.csv", PEOPLE)
    deliver(shop, "pay/a.csv", "p1,c1,2020-01-05,10,card\n")
    refresh(shop, CONTRACT)

    assert set(gold(shop, *COLUMNS).values()) == {(0.0, 0, None, None)}


def test_a_person_forgotten_is_out_of_gold_and_of_the_source(shop: Settings) -> None:

    forget(shop, CONTRACT, "c1", yes=True)

    assert set(gold(shop, *COLUMNS)) == {"c2 03-15", "c9 03-15"}
    refresh(shop, CONTRACT)
    assert gold(shop, *COLUMNS) == {
        name: values for name, values in VALUES.items() if not name.startswith("c1")
    }


def test_a_recipe_that_leaves_rows_out_changes_no_window(shop: Settings) -> None:
    from goldpath import Data

    def new_only(rows):  # type: ignore[no-untyped-def]
        return rows.filter(rows.amount > 1)

    own = Project(features=lambda: [paid, paid_each], data=lambda: Data(gold=new_only))
    refresh(load_settings(shop.root, own), CONTRACT)

    assert gold(shop, *COLUMNS) == {
        name: values for name, values in VALUES.items() if name != "c1 01-15"
    }


def test_a_column_that_a_source_lost_is_refused_before_anything_is_written(
    shop: Settings,
) -> None:
    before = LocalLakehouse(shop).snapshot(TableName("bronze", "shop"))
    file = shop.root / "config" / "sources" / "payments.yaml"
    file.write_text(PAYMENTS.replace("- {name: method, type: category, nullable: true}\n", ""))

    with pytest.raises(ProjectError, match="'method' is no column of payments"):
        refresh(shop, CONTRACT)

    assert LocalLakehouse(shop).snapshot(TableName("bronze", "shop")) == before


def test_windows_do_not_know_the_future_and_the_leak_check_says_so(shop: Settings) -> None:

    result = check_leaks(shop, CONTRACT)

    assert result.leaks == ()
    assert len(result.cuts) >= 1


def test_check_and_status_name_the_windows(shop: Settings) -> None:
    names = ["paid_total_30d", "paid_count_30d", "paid_by_30d", "paid_each"]

    assert check_definitions(shop, CONTRACT).features == names
    assert project_status(shop, CONTRACT).window_features == tuple(names[:3])


def test_a_tiny_lake_takes_rows_of_sources(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.root)
    payment = {"payment_id": "p1", "client": "c1", "paid_at": "2026-01-05", "amount": 7}
    rows = [{"id": "c1", "day": "2026-01-15"}, {"id": "c2", "day": "2026-01-15"}]

    lake = tiny_lake(rows, project=shop.project, contract=CONTRACT, sources={"payments": [payment]})

    found = {row["id"]: (row["paid_total_30d"], row["paid_each"]) for row in lake.rows("gold")}
    assert found == {"c1": (7.0, 7.0), "c2": (0.0, None)}
    with pytest.raises(ProjectError, match="amount: '-7' is below 0"):
        tiny_lake(
            rows,
            project=shop.project,
            contract=CONTRACT,
            sources={"payments": [{**payment, "amount": -7}]},
        )
    with pytest.raises(ProjectError, match="is a window feature"):
        assert_feature(paid, row={}, equals=1)  # type: ignore[arg-type]
