"""What the sample's customers did before: payments and tickets, informative by a known amount.

Both are drawn after the customers and their labels, from distributions that differ between those
who churn and those who stay. So the probability of churn given the customer and the history is
known in closed form (Bayes' rule: the log odds of `customers.churn_probability` plus the history's
log likelihood ratio), and with it the ceiling of a model that uses the further tables.

- A customer pays once in 30 days, for at most six of them. Of those of the last 90 days the amount
  is above the usual charge, more so for customers who churn.
- A customer has opened `support_tickets` tickets in the last 90 days, as that column says, and
  others before. Of the recent ones, more are cancellations where the customer churns.

A model finds both in windows of 90 days: the mean payment beside `monthly_charges`, and the number
of cancellations.

The customers were observed in a year that is past. So that a request of today finds something, the
last 90 days before `until` are drawn in the same way, as if each customer were asked about then.
They are later than every customer's observation, so that they tell a training nothing.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

MONTHS = 6
RECENT_MONTHS = 3
PERIOD_DAYS = 30
RECENT_DAYS = RECENT_MONTHS * PERIOD_DAYS
# Of the logarithm of a payment beside the usual charge.
AMOUNT_SPREAD = 0.06
AMOUNT_RISE = 0.04
TOPICS = ("billing", "cancellation", "question", "technical")
TOPICS_OF_STAYERS = np.array([0.28, 0.06, 0.30, 0.36])
TOPICS_OF_LEAVERS = np.array([0.30, 0.24, 0.18, 0.28])
OLDER_TICKETS = 0.8
DUPLICATE_SHARE = 0.005
BAD_SHARE = 0.001


@dataclass(frozen=True)
class History:
    """Two further tables, and what they tell.

    Attributes:
        payments: `payment_id`, `customer_id`, `paid_at`, `amount`, `method`.
        tickets: `ticket_id`, `customer_id`, `opened_at`, `topic`, `minutes`.
        log_ratio: By customer, shape (customers,): the logarithm of how much likelier the history
            is of one who churns than of one who stays.
    """

    payments: pd.DataFrame
    tickets: pd.DataFrame
    log_ratio: np.ndarray


def draw_history(customers: pd.DataFrame, seed: int, until: datetime | None = None) -> History:
    """The history of customers whose labels are known.

    Args:
        customers: As `draw_customers` gives them, with the column `churned` (yes, no).
        seed: Same seed, customers and end, same tables.
        until: The end of the rows that requests of now find; without it there are none.
    """
    random = np.random.default_rng([seed, 1])
    payments, of_payments = _draw_payments(random, customers, MONTHS)
    payments = _numbered(random, payments, "paid_at", "payment_id", f"P{seed}")
    tickets, of_tickets = _draw_tickets(random, customers, OLDER_TICKETS)
    tickets = _numbered(random, tickets, "opened_at", "ticket_id", f"T{seed}")
    if until is not None:
        random = np.random.default_rng([seed, 2])
        asked = customers.assign(observed_at=until)
        of_now = _since(customers, _draw_payments(random, asked, RECENT_MONTHS)[0], "paid_at")
        paid = _numbered(random, of_now, "paid_at", "payment_id", f"P{seed}-now")
        of_now = _since(customers, _draw_tickets(random, asked, 0)[0], "opened_at")
        opened = _numbered(random, of_now, "opened_at", "ticket_id", f"T{seed}-now")
        payments = pd.concat([payments, paid], ignore_index=True)
        tickets = pd.concat([tickets, opened], ignore_index=True)
    return History(payments, tickets, of_payments + of_tickets)


def probability_with_history(probability: np.ndarray, log_ratio: np.ndarray) -> np.ndarray:
    """The probability of churn given the customer and the history, shape (customers,)."""
    odds = np.log(probability) - np.log1p(-probability) + log_ratio
    return np.asarray(1 / (1 + np.exp(-odds)))


def _draw_payments(
    random: np.random.Generator, customers: pd.DataFrame, most: int
) -> tuple[pd.DataFrame, np.ndarray]:
    churned = (customers["churned"] == "yes").to_numpy()
    months = np.minimum(customers["tenure_months"].to_numpy(), most).astype(int)
    owner = np.repeat(np.arange(len(customers)), months)
    back = np.concatenate([np.arange(count) for count in months]) if len(owner) else owner
    is_recent = back < RECENT_MONTHS
    rise = random.normal(0, AMOUNT_SPREAD, len(owner)) + AMOUNT_RISE * (is_recent & churned[owner])
    seconds = _seconds_before(random, back)
    charges = customers["monthly_charges"].to_numpy()[owner]
    method = customers["payment_method"].to_numpy()[owner]
    frame = pd.DataFrame(
        {
            "customer_id": customers["customer_id"].to_numpy()[owner],
            "paid_at": _times(customers, owner, seconds),
            "amount": np.maximum(charges * np.exp(rise), 0.01).round(2),
            "method": np.where(random.random(len(owner)) < 0.95, method, "card"),
        },
        index=owner,
    )
    told = (AMOUNT_RISE * rise - AMOUNT_RISE**2 / 2) / AMOUNT_SPREAD**2
    log_ratio = np.bincount(owner, np.where(is_recent, told, 0.0), minlength=len(customers))
    return frame, log_ratio


def _draw_tickets(
    random: np.random.Generator, customers: pd.DataFrame, older_tickets: float
) -> tuple[pd.DataFrame, np.ndarray]:
    churned = (customers["churned"] == "yes").to_numpy()
    recent = customers["support_tickets"].to_numpy().astype(int)
    older = random.poisson(older_tickets, len(customers))
    owner = np.concatenate([np.repeat(np.arange(len(customers)), each) for each in (recent, older)])
    is_recent = np.arange(len(owner)) < recent.sum()
    leaves = is_recent & churned[owner]
    shares = np.where(leaves[:, None], TOPICS_OF_LEAVERS, TOPICS_OF_STAYERS)
    topic = (random.random(len(owner))[:, None] >= shares.cumsum(axis=1)).sum(axis=1)
    topic = np.minimum(topic, len(TOPICS) - 1)
    days = np.where(
        is_recent,
        random.uniform(0, RECENT_DAYS, len(owner)),
        random.uniform(RECENT_DAYS, 365, len(owner)),
    )
    frame = pd.DataFrame(
        {
            "customer_id": customers["customer_id"].to_numpy()[owner],
            "opened_at": _times(customers, owner, np.floor(days * 86_400) + 1),
            "topic": np.array(TOPICS)[topic],
            "minutes": np.ceil(random.gamma(2.0, 6.0, len(owner))).astype(int),
        },
        index=owner,
    )
    told = np.log(TOPICS_OF_LEAVERS / TOPICS_OF_STAYERS)[topic]
    log_ratio = np.bincount(owner, np.where(is_recent, told, 0.0), minlength=len(customers))
    return frame, log_ratio


def _since(customers: pd.DataFrame, rows: pd.DataFrame, time: str) -> pd.DataFrame:
    """The rows, each with its customer's place as index, after the customer's observation."""
    observed = pd.to_datetime(customers["observed_at"]).to_numpy()
    return rows[rows[time].to_numpy() > observed[rows.index]]


def _seconds_before(random: np.random.Generator, back: np.ndarray) -> np.ndarray:
    """A moment in the given 30 days before the row's time, whole seconds, strictly before it."""
    within = random.integers(1, PERIOD_DAYS * 86_400, len(back))
    return np.asarray(back * PERIOD_DAYS * 86_400 + within)


def _times(customers: pd.DataFrame, owner: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    observed = pd.to_datetime(customers["observed_at"]).to_numpy()[owner]
    return np.asarray(observed - seconds.astype("timedelta64[s]"))


def _numbered(
    random: np.random.Generator, frame: pd.DataFrame, time: str, key: str, prefix: str
) -> pd.DataFrame:
    """The rows in the order of their time, with a key each; a few sent twice, a few unreadable."""
    ordered = frame.sort_values([time, "customer_id"], kind="stable", ignore_index=True)
    ordered.insert(0, key, [f"{prefix}-{number:07d}" for number in range(1, len(ordered) + 1)])
    ordered[time] = ordered[time].dt.strftime("%Y-%m-%d %H:%M:%S")
    if ordered.empty:
        return ordered
    twice = ordered.iloc[_some(random, len(ordered), DUPLICATE_SHARE)]
    bad = ordered.iloc[_some(random, len(ordered), BAD_SHARE)].copy()
    bad[key] = [f"{prefix}-x{number:06d}" for number in range(len(bad))]
    bad[time] = "yesterday"
    return pd.concat([ordered, twice, bad], ignore_index=True)


def _some(random: np.random.Generator, rows: int, share: float) -> np.ndarray:
    return random.choice(rows, max(1, int(share * rows)), replace=False)
