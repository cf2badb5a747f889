"""Whether later rows change earlier ones is found on the lake's rows, and named by column."""

import json
from collections.abc import Callable

import ibis
import pytest

from goldpath.cli.app import run
from goldpath.contract import Contract, load_contract
from goldpath.errors import NotEnoughDataError
from goldpath.features.row.tracing import Row, row_feature
from goldpath.features.row.values import Value
from goldpath.jobs.data import leaks as module
from goldpath.jobs.data.leaks import ROW, LeakCheck, check_leaks, show_leaks
from goldpath.jobs.data.refresh import refresh
from goldpath.project import Data, Project
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings, load_settings

from ..conftest import make_project

ROWS = 600


@row_feature
def charge_rate(row: Row) -> Value:
    return row.monthly_charges / (row.tenure_months + 1)


def lifetime_as_two_years(rows: ibis.Table) -> ibis.Table:
    contract = rows["contract"]
    return rows.mutate(contract=(contract == "lifetime").ifelse("two-year", contract))


def around_the_mean(rows: ibis.Table) -> ibis.Table:
    charges = rows["monthly_charges"].try_cast("float64")
    return rows.mutate(monthly_charges=(charges - charges.mean() + 500).cast("string"))


def by_region(rows: ibis.Table) -> ibis.Table:
    """Target encoding: the share of churners in the row's region, over all rows."""
    left = (rows["churned"] == "yes").ifelse(1.0, 0.0)
    return rows.mutate(usage_hours=left.mean().over(group_by="region"))


def above_the_mean(rows: ibis.Table) -> ibis.Table:
    return rows.mutate(mean=rows["age"].mean()).filter(ibis._.age > ibis._.mean).drop("mean")


def so_far(rows: ibis.Table) -> ibis.Table:
    """The mean of the rows before it, which is known at a row's time."""
    window = ibis.cumulative_window(order_by=["event_time", "customer_id"], group_by="region")
    return rows.mutate(usage_hours=rows["usage_hours"].mean().over(window))


def ranked(rows: ibis.Table) -> ibis.Table:
    return rows.mutate(place=ibis.rank().over(order_by=rows["customer_id"]).cast("string"))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake with the sample, made without any recipe."""
    settings = make_project(tmp_path_factory.mktemp("leaks"))
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, ROWS, 7, {})
    refresh(settings, contract)
    return settings


@pytest.fixture
def checked(lake: Settings) -> Callable[[Data], LeakCheck]:
    def check(recipes: Data, most_rows: int = module.MOST_ROWS, cuts: int = 1) -> LeakCheck:
        project = Project(data=lambda: recipes, features=lambda: [charge_rate])
        own = load_settings(lake.root, project)
        return check_leaks(own, load_contract(lake.root), most_rows, cuts)

    return check


def test_what_looks_at_its_own_row_alone_does_not_leak(
    checked: Callable[..., LeakCheck],
) -> None:
    result = checked(Data(silver=lifetime_as_two_years, gold=so_far), cuts=3)

    assert (result.leaks, result.exit_code) == ((), 0)
    assert result.verdict == "no value depends on later rows"
    assert result.sampled.startswith("all 6")
    assert len(result.cuts) == 3


def test_a_mean_of_the_whole_table_is_named_with_all_that_is_computed_of_it(
    checked: Callable[[Data], LeakCheck],
) -> None:
    result = checked(Data(silver=around_the_mean))

    assert {(each.step, each.column) for each in result.leaks} == {
        ("silver", "monthly_charges"),
        ("gold", "charge_rate"),
    }
    assert result.exit_code == 1
    (charges,) = (each for each in result.leaks if each.step == "silver")
    assert charges.rows == charges.of_rows > 0
    assert "with the later rows" in charges.example


def test_a_target_encoding_in_gold_is_found(checked: Callable[[Data], LeakCheck]) -> None:
    (leak,) = checked(Data(gold=by_region)).leaks

    assert (leak.step, leak.column) == ("gold", "usage_hours")
    assert leak.rows is not None
    assert 0 < leak.rows <= leak.of_rows


def test_rows_that_later_ones_choose_are_found(checked: Callable[[Data], LeakCheck]) -> None:
    (leak,) = checked(Data(gold=above_the_mean)).leaks

    assert (leak.step, leak.column) == ("gold", ROW)
    assert "the later rows" in leak.example


def test_bronzes_recipe_is_judged_by_its_formula(
    checked: Callable[[Data], LeakCheck], capsys: pytest.CaptureFixture[str]
) -> None:
    result = checked(Data(bronze=ranked))

    (leak,) = result.leaks
    assert (leak.step, leak.column, leak.rows) == ("bronze", "place", None)
    assert "MinRank" in leak.example
    show_leaks(result, as_json=False)
    assert "bronze: place" in capsys.readouterr().out


def test_a_large_table_is_sampled_and_the_answer_says_so(
    checked: Callable[..., LeakCheck],
) -> None:
    result = checked(Data(gold=by_region), 250)

    assert result.sampled.startswith("one row in 3 of each file")
    assert [each.column for each in result.leaks] == ["usage_hours"]


def test_personal_values_are_not_shown(lake: Settings) -> None:
    contract = load_contract(lake.root)
    parts = {name: getattr(contract, name) for name in Contract.model_fields}
    private = Contract.model_validate(parts | {"personal": ("usage_hours",)})
    own = load_settings(lake.root, Project(data=lambda: Data(gold=by_region)))

    (leak,) = check_leaks(own, private, cuts=1).leaks

    assert "personal values, which are not shown" in leak.example


def test_without_data_there_is_no_answer(project: Settings) -> None:
    with pytest.raises(NotEnoughDataError, match="holds no rows yet") as raised:
        check_leaks(project, load_contract(project.root))
    assert raised.value.exit_code == 3


def test_the_command_ends_with_the_answer(
    lake: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("goldpath.project._running", Project())  # put back what `run` sets
    monkeypatch.chdir(lake.root)
    own = Project(data=lambda: Data(gold=by_region))

    with pytest.raises(SystemExit) as ended:
        run(own, ["check", "--leaks", "--json"])

    assert ended.value.code == 1
    found = json.loads(capsys.readouterr().out)
    assert [each["column"] for each in found["leaks"]] == ["usage_hours"]
