"""What the row features compute, from the source to the gold table."""

import pandas as pd
import pytest
from goldpath import open_lakehouse

from conftest import Trained


@pytest.fixture(scope="module")
def gold(trained: Trained) -> pd.DataFrame:
    """The gold table: the columns that callers send, and the row features beside them."""
    lake = open_lakehouse(trained.place.settings)
    (table,) = (each for each in lake.tables() if str(each) == trained.data["gold_table"])
    frame: pd.DataFrame = lake.collect(lake.read(table)).to_pandas()
    return frame


def test_the_charge_rate_is_the_invoice_for_each_month_of_tenure(gold: pd.DataFrame) -> None:
    expected = gold["monthly_charges"] / (gold["tenure_months"] + 1)
    assert gold["charge_rate"].to_list() == pytest.approx(expected.to_list())
    newest = gold["tenure_months"] == gold["tenure_months"].min()
    assert gold["charge_rate"][newest].mean() > gold["charge_rate"][~newest].mean()


def test_tickets_count_only_where_no_contract_term_holds(gold: pd.DataFrame) -> None:
    unbound = gold["contract"] == "month-to-month"
    assert gold["unbound_tickets"][unbound].equals(gold["support_tickets"][unbound])
    assert unbound.any()
    assert gold["support_tickets"][~unbound].max() > 0
    assert set(gold["unbound_tickets"][~unbound]) == {0}
