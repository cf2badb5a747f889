"""Window features in a contract: their columns, their definitions, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from goldpath.contract import Contract, ContractError, dump_contract, load_contract, parse_contract
from goldpath.features.learned import changed_features, learned_contract, with_own_features
from goldpath.features.row.document import DocumentError
from goldpath.features.row.learned import definitions_of
from goldpath.features.row.tracing import Row, RowFeature, row_feature
from goldpath.features.row.values import Value
from goldpath.features.window.feature import WindowFeature, window_feature
from goldpath.features.window.learned import definitions_in
from goldpath.features.window.rows import Aggregate, Rows
from goldpath.handed_over import ProjectDefinitionError
from goldpath.lake.run_log import fingerprint
from goldpath.project import Project
from goldpath.settings import load_settings
from goldpath.source_contract import SourceContract, dump_source

CONTRACT = Contract.model_validate(
    {
        "dataset": "churn",
        "problem": "classification",
        "source": {"path": "data/churn.csv"},
        "entity": "customer_id",
        "event_time": {"column": "month"},
        "target": {"column": "churned", "classes": ["no", "yes"]},
        "features": [{"name": "tenure", "type": "integer"}],
    }
)
PAYMENTS = SourceContract.model_validate(
    {
        "dataset": "payments",
        "source": {"path": "data/payments.csv"},
        "entity": "payer",
        "event_time": {"column": "paid_at"},
        "key": "payment_id",
        "columns": [
            {"name": "amount", "type": "number"},
            {"name": "method", "type": "category", "categories": ["card", "cash"], "closed": True},
            {"name": "note", "type": "category", "nullable": True},
        ],
        "personal": ["note"],
    }
)


@window_feature(source="payments", over=("30d", "90d"))
def paid(payments: Rows) -> dict[str, Aggregate]:
    """What was paid."""
    return {"total": payments.amount.sum(), "last": payments.method.last()}


@window_feature(source="payments", over="30d")
def noted(payments: Rows) -> dict[str, Aggregate]:
    return {
        "last": payments.note.last(),
        "count": payments.where(payments.note == "late").count(),
        "all": payments.count(),
    }


@row_feature
def paid_a_month(row: Row) -> Value:
    return row.paid_total_90d / 3


@row_feature
def late_share(row: Row) -> Value:
    return row.noted_count_30d / row.noted_all_30d


def learned_with(*features: RowFeature | WindowFeature, contract: Contract = CONTRACT) -> Contract:
    return with_own_features(contract, Project(features=lambda: features), [PAYMENTS])


LEARNED = learned_with(paid_a_month, paid)


def test_window_columns_stand_between_the_requests_features_and_row_features() -> None:
    assert LEARNED.feature_names == [
        "tenure",
        "paid_total_30d",
        "paid_total_90d",
        "paid_last_30d",
        "paid_last_90d",
        "paid_a_month",
    ]
    total, last = LEARNED.by_name["paid_total_30d"], LEARNED.by_name["paid_last_90d"]
    assert (total.type, total.nullable, total.categories) == ("number", True, None)
    assert (last.type, last.categories, last.closed) == ("category", ("card", "cash"), True)
    assert total.description == "What was paid, over 30d"


def test_a_request_sends_none_of_them_and_what_is_recorded_holds_the_windows() -> None:
    assert LEARNED.request == CONTRACT
    assert LEARNED.raw_columns == CONTRACT.raw_columns
    assert LEARNED.recorded.feature_names == LEARNED.feature_names[:-1]
    assert CONTRACT.recorded is CONTRACT


def test_the_definitions_are_stored_with_the_contract() -> None:
    again = parse_contract(dump_contract(LEARNED))

    assert again == LEARNED
    (definition,) = definitions_in(again)
    assert (definition.name, definition.source, definition.entity) == ("paid", "payments", "payer")
    assert definition.digest == definitions_in(LEARNED)[0].digest
    assert [each.name for each in definitions_of(again)] == ["paid_a_month"]


def test_tracing_a_learned_contract_again_changes_nothing() -> None:
    assert learned_with(paid_a_month, paid, contract=LEARNED) == LEARNED


def test_a_window_over_a_personal_column_is_personal_and_what_is_computed_of_it() -> None:
    learned = learned_with(noted, late_share)

    assert learned.personal == ("noted_last_30d", "noted_count_30d", "late_share")


def test_a_changed_window_is_named_and_makes_intervals_anew() -> None:
    other = learned_with(
        window_feature(source="payments", over=("30d", "90d"), lag="1d", name="paid")(paid.function)
    )

    assert set(changed_features(LEARNED, other)) == {
        "paid_a_month is gone",
        *(f"{name} has another formula" for name in other.feature_names[1:]),
    }
    assert fingerprint(LEARNED, 3, None) != fingerprint(other, 3, None)
    assert fingerprint(LEARNED.request, 3, None) == fingerprint(CONTRACT, 3, None)


def test_a_changed_description_changes_nothing_that_is_computed() -> None:
    other = learned_with(
        window_feature(source="payments", over=("30d", "90d"), name="paid", description="Another.")(
            paid.function
        ),
        paid_a_month,
    )

    assert not changed_features(LEARNED, other)


def test_a_window_is_not_written_in_yaml(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "project.yaml").write_text(dump_contract(LEARNED), encoding="utf-8")

    with pytest.raises(ContractError, match="feature paid_total_30d has a window"):
        load_contract(tmp_path)


def test_a_stored_definition_of_another_column_is_refused() -> None:
    column = LEARNED.by_name["paid_total_30d"].model_copy(update={"name": "paid_total_7d"})
    broken = CONTRACT.with_features([*CONTRACT.features, column], [])

    with pytest.raises(DocumentError, match="computes no column paid_total_7d"):
        definitions_in(broken)


def test_the_sources_of_a_project_are_read_where_window_features_need_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config" / "sources").mkdir(parents=True)
    file = tmp_path / "config" / "sources" / "payments.yaml"
    file.write_text(dump_source(PAYMENTS), encoding="utf-8")
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    settings = load_settings(project=Project(features=lambda: [paid, paid_a_month]))

    assert learned_contract(settings, CONTRACT) == learned_with(paid, paid_a_month)

    file.write_text("entity: [", encoding="utf-8")
    without = load_settings(project=Project())
    assert learned_contract(without, CONTRACT) is CONTRACT
    with pytest.raises(ContractError, match=r"payments\.yaml"):
        learned_contract(settings, CONTRACT)


@window_feature(source="payment", over="30d")
def of_no_source(payments: Rows) -> Aggregate:
    return payments.count()


@window_feature(source="churn", over="30d")
def of_the_main_table(rows: Rows) -> Aggregate:
    return rows.share(rows.churned == "yes")


@window_feature(source="payments", over="30d")
def of_the_rows_time(payments: Rows) -> Aggregate:
    return payments.event_time.max()


@window_feature(source="payments", over="a month")
def of_no_window(payments: Rows) -> Aggregate:
    return payments.count()


@window_feature(source="payments", over="30d", tile="7d")
def of_no_whole_tiles(payments: Rows) -> Aggregate:
    return payments.count()


@window_feature(source="payments", over="30d")
def of_no_column(payments: Rows) -> Aggregate:
    return payments.sum_paid.sum()


@window_feature(source="payments", over="30d", name="paid_total")
def twice(payments: Rows) -> Aggregate:
    return payments.amount.sum()


@row_feature(name="paid_total_30d")
def of_the_same_name(row: Row) -> Value:
    return row.tenure + 1


@pytest.mark.parametrize(
    ("features", "said", "fix"),
    [
        (
            [of_no_source],
            r"there is no source 'payment'; config/sources holds: payments",
            "add-source",
        ),
        ([of_the_main_table], r"'churn' is the main table, whose rows hold the target", "payments"),
        ([of_the_rows_time], r"'event_time' is the rows' time", "payments has: amount, method"),
        ([of_no_window], r"'a month' is no duration", "30d"),
        ([of_no_whole_tiles], r"is not made of whole tiles of 604800 seconds", "tile="),
        ([of_no_column], r"'sum_paid' is no column of payments", "amount, method, note"),
        ([paid, twice], r"column 'paid_total_30d' is a column of the window feature paid", "name="),
        ([of_the_same_name, paid], r"'paid_total_30d', which is a column of a window", "name="),
    ],
)
def test_what_cannot_be_is_refused_with_file_and_line(
    features: list[Any], said: str, fix: str
) -> None:
    with pytest.raises(ProjectDefinitionError, match=said) as refusal:
        learned_with(*features)

    assert refusal.value.message.startswith(f"{__file__}:")
    assert fix in refusal.value.fix


def test_a_column_of_the_main_table_keeps_its_name() -> None:
    taken = Contract.model_validate(
        {**CONTRACT.model_dump(), "ignored": {"paid_total_30d": "left out"}}
    )

    with pytest.raises(ProjectDefinitionError, match=r"is a column of config/project\.yaml"):
        learned_with(paid, contract=taken)


@pytest.mark.parametrize("role", ["entity", "event_time"])
def test_data_without_entity_or_time_has_no_window_features(role: str) -> None:
    contract = Contract.model_validate({**CONTRACT.model_dump(), role: None})

    with pytest.raises(ProjectDefinitionError, match=f"names no {role}"):
        learned_with(paid, contract=contract)
