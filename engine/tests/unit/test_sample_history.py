"""Payments and tickets of the sample agree with its customers and tell what they say they tell."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from goldpath.learning.metrics import area_under_roc
from goldpath.sample.customers import bayes_auc, churn_probability, draw_customers
from goldpath.sample.history import History, draw_history, probability_with_history

ROWS = 8_000


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    random = np.random.default_rng(3)
    drawn = draw_customers(random, ROWS, 3, {})
    churned = random.random(ROWS) < churn_probability(drawn)
    return drawn.assign(churned=np.where(churned, "yes", "no"))


@pytest.fixture(scope="module")
def history(customers: pd.DataFrame) -> History:
    return draw_history(customers, 3)


def readable(rows: pd.DataFrame, key: str, time: str) -> pd.DataFrame:
    kept = rows[rows[time] != "yesterday"].drop_duplicates(key)
    return kept.assign(**{time: pd.to_datetime(kept[time])})


def before(rows: pd.DataFrame, customers: pd.DataFrame, time: str) -> pd.Series:
    observed = pd.to_datetime(customers.set_index("customer_id")["observed_at"])
    age: pd.Series = observed.loc[rows["customer_id"]].to_numpy() - rows[time]
    return age


def test_same_seed_gives_the_same_tables(customers: pd.DataFrame, history: History) -> None:
    again, other = draw_history(customers, 3), draw_history(customers, 4)
    pd.testing.assert_frame_equal(again.payments, history.payments)
    pd.testing.assert_frame_equal(again.tickets, history.tickets)
    assert not np.array_equal(other.log_ratio, history.log_ratio)


def test_every_row_is_of_a_customer_and_before_its_time(
    customers: pd.DataFrame, history: History
) -> None:
    for rows, key, time in (
        (history.payments, "payment_id", "paid_at"),
        (history.tickets, "ticket_id", "opened_at"),
    ):
        assert set(rows["customer_id"]) <= set(customers["customer_id"])
        assert before(readable(rows, key, time), customers, time).min() > pd.Timedelta(0)


def test_rows_up_to_now_are_later_than_the_customers_time_and_change_no_former_row(
    customers: pd.DataFrame, history: History
) -> None:
    until = datetime(2026, 2, 1)
    longer = draw_history(customers, 3, until)
    assert np.array_equal(longer.log_ratio, history.log_ratio)
    for rows, former, key, time in (
        (longer.payments, history.payments, "payment_id", "paid_at"),
        (longer.tickets, history.tickets, "ticket_id", "opened_at"),
    ):
        pd.testing.assert_frame_equal(rows.iloc[: len(former)], former)
        of_now = readable(rows.iloc[len(former) :], key, time)
        assert not set(of_now[key]) & set(former[key])
        # Some customers were observed within these 90 days.
        assert before(of_now, customers, time).max() < pd.Timedelta(0)
        age = until - of_now[time]
        assert pd.Timedelta(0) < age.min() < age.max() <= pd.Timedelta(days=90)
    assert longer.payments["customer_id"].nunique() > 0.95 * ROWS


def test_recent_tickets_are_as_many_as_the_column_says(
    customers: pd.DataFrame, history: History
) -> None:
    tickets = readable(history.tickets, "ticket_id", "opened_at")
    age = before(tickets, customers, "opened_at")
    recent = tickets[(age <= pd.Timedelta(days=90)).to_numpy()]["customer_id"].value_counts()
    found = recent.reindex(customers["customer_id"], fill_value=0).to_numpy()
    assert (found == customers["support_tickets"].to_numpy()).all()


def test_ceiling_with_the_history_is_higher_by_what_the_history_tells(
    customers: pd.DataFrame, history: History
) -> None:
    alone = churn_probability(customers)
    both = probability_with_history(alone, history.log_ratio)
    churned = (customers["churned"] == "yes").to_numpy()

    assert bayes_auc(both) - bayes_auc(alone) == pytest.approx(0.06, abs=0.015)
    assert area_under_roc(churned, both) == pytest.approx(bayes_auc(both), abs=0.015)
    # What is called a probability is one: of those with about that value, so many churn.
    place = np.digitize(both, np.linspace(0, 1, 6)[1:-1])
    for bin_ in range(5):
        inside = place == bin_
        spread = 4 * np.sqrt((both[inside] * (1 - both[inside])).sum()) / inside.sum()
        assert churned[inside].mean() == pytest.approx(both[inside].mean(), abs=spread)


def test_files_hold_rows_sent_twice_and_unreadable_ones(history: History) -> None:
    assert history.payments.duplicated().sum() >= 50
    assert (history.payments["paid_at"] == "yesterday").sum() >= 10
