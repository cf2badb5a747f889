"""The sample: customers who churn, drawn from a process whose best possible AUC is known.

The churn probability of each customer is a logistic function of the features, so the AUC of that
probability is the ceiling that no model can pass (the Bayes-optimal AUC). It is kept beside the
CSV file, and training shows it beside the model's AUC. The file also holds what real files hold:
missing values, rows sent twice, corrected rows, and a few rows that break the contract.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from goldpath.errors import ProjectError
from goldpath.sample.history import draw_history, probability_with_history

START = datetime(2025, 1, 1)  # noqa: DTZ001  the sample's times are local times without a zone
DAYS = 365
DUPLICATE_SHARE = 0.01
CORRECTION_SHARE = 0.005
BAD_SHARE = 0.004
MISSING_SHARE = {"usage_hours": 0.04, "late_payments": 0.03, "satisfaction": 0.35, "age": 0.02}
MISSING_PAYMENT_SHARE = 0.01
# Bounds that config/project.yaml states too: a shifted feature stays inside them.
BOUNDS = {
    "tenure_months": (0.0, 600.0),
    "monthly_charges": (0.0, 1000.0),
    "usage_hours": (0.0, 744.0),
    "support_tickets": (0.0, 200.0),
    "late_payments": (0.0, 12.0),
    "satisfaction": (0.0, 10.0),
    "age": (18.0, 110.0),
}
WHOLE_NUMBERS = ("tenure_months", "support_tickets", "late_payments", "age")


class SampleError(ProjectError):
    """The sample cannot be generated as asked."""


@dataclass(frozen=True)
class SampleResult:
    """What was written.

    Attributes:
        file: The CSV file.
        customers: Distinct customers.
        lines: Lines of data in the file, with duplicates and bad rows.
        churn_rate: Share of customers who churn.
        bayes_auc: AUC of the true probabilities given this file, the ceiling for every model that
            reads it alone.
        drift: Shift of each named feature, in standard deviations.
        history: The files of what the customers did before, where they were asked for.
        bayes_auc_with_history: The ceiling for models that read these, too.
    """

    file: str
    customers: int
    lines: int
    churn_rate: float
    bayes_auc: float
    drift: dict[str, float]
    history: tuple[str, ...] = ()
    bayes_auc_with_history: float | None = None


def parse_drift(texts: list[str]) -> dict[str, float]:
    """Read `feature=amount` texts.

    Raises:
        SampleError: If a text has another form, or names no numeric feature of the sample.
    """
    shifts = {}
    for text in texts:
        name, _, amount = text.partition("=")
        if name not in BOUNDS:
            raise SampleError(
                f"--drift {text!r}: {name!r} is not a numeric feature",
                f"name one of: {', '.join(BOUNDS)}",
            )
        try:
            shifts[name] = float(amount)
        except ValueError:
            raise SampleError(
                f"--drift {text!r}: {amount!r} is not a number of standard deviations",
                f"write --drift {name}=1.5",
            ) from None
        if not np.isfinite(shifts[name]):
            raise SampleError(
                f"--drift {text!r}: the amount is not finite", f"write --drift {name}=1.5"
            )
    return shifts


def write_sample(
    file: Path,
    rows: int,
    seed: int,
    drift: dict[str, float],
    *,
    history: bool = False,
    until: datetime | None = None,
    begin: datetime = START,
    days: int = DAYS,
) -> SampleResult:
    """Generate customers and write them, with the true probabilities beside them.

    Args:
        file: CSV file to write; replaced in one step.
        rows: Customers.
        seed: Same seed and rows, same bytes; of the history, within a day.
        drift: Shift of numeric features, in their standard deviations.
        history: Also write what the customers paid and asked, in files of the same name in the
            folders `payments` and `tickets` beside the file; the true probabilities are those given
            all three.
        until: The end of the history, which reaches to the last midnight (UTC) where not given.
        begin: No customer is observed before this time.
        days: How many days customers are observed.

    Returns:
        Counts and the Bayes-optimal AUC.
    """
    random = np.random.default_rng(seed)
    customers = draw_customers(random, rows, seed, drift, begin, days)
    probability = churn_probability(customers)
    churned = random.random(rows) < probability
    customers["churned"] = np.where(churned, "yes", "no")
    lines = add_defects(random, customers)

    file.parent.mkdir(parents=True, exist_ok=True)
    further: dict[str, pd.DataFrame] = {}
    known = probability
    if history:
        end = until or datetime.now(UTC).replace(tzinfo=None)
        midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
        before = draw_history(customers, seed, midnight)
        further = {"payments": before.payments, "tickets": before.tickets}
        known = probability_with_history(probability, before.log_ratio)
    for name, frame in further.items():
        (file.parent / name).mkdir(exist_ok=True)
        _write_whole(file.parent / name / file.name, frame)
    _write_whole(
        truth_file(file),
        pd.DataFrame({"customer_id": customers["customer_id"], "probability": known}),
    )
    _write_whole(file, lines)
    return SampleResult(
        file=str(file),
        customers=rows,
        lines=len(lines),
        churn_rate=float(churned.mean()),
        bayes_auc=bayes_auc(probability),
        drift=drift,
        history=tuple(str(file.parent / name / file.name) for name in further),
        bayes_auc_with_history=bayes_auc(known) if history else None,
    )


def draw_customers(
    random: np.random.Generator,
    rows: int,
    seed: int,
    drift: dict[str, float],
    begin: datetime = START,
    days: int = DAYS,
) -> pd.DataFrame:
    """Customers without their label.

    Args:
        random: Source of randomness.
        rows: Customers.
        seed: Part of the customers' ids, so that two samples do not share customers.
        drift: Shift of numeric features, in their standard deviations.
        begin: No customer is observed before this time.
        days: How many days customers are observed.

    Returns:
        Frame of shape (rows, 14): the entity, the event time and the contract's features.
    """
    tenure = np.floor(random.gamma(1.3, 22.0, rows))
    internet = random.choice(["dsl", "fiber", "none"], rows, p=[0.38, 0.44, 0.18])
    long_contract = np.clip(tenure / 80, 0, 0.7)
    draw = random.random(rows)
    contract = np.where(
        draw < long_contract * 0.5,
        "two-year",
        np.where(draw < long_contract, "one-year", "month-to-month"),
    )
    charges = 22 + 18 * (internet == "dsl") + 48 * (internet == "fiber") + random.normal(0, 9, rows)
    usage = np.where(internet == "none", 0.0, random.gamma(2.2, 28.0, rows))
    tickets = random.poisson(0.6 + 0.9 * (internet == "fiber"), rows).astype(float)
    late = random.binomial(12, random.beta(1.2, 12.0, rows)).astype(float)
    satisfaction = 7.4 - 0.7 * tickets + random.normal(0, 1.6, rows)
    age = np.round(random.normal(46, 15, rows))
    seconds = np.sort(random.integers(0, days * 86_400, rows))
    frame = pd.DataFrame(
        {
            "customer_id": [f"C{seed}-{number:06d}" for number in random.permutation(rows)],
            "observed_at": [
                (begin + timedelta(seconds=int(s))).isoformat(sep=" ") for s in seconds
            ],
            "tenure_months": tenure,
            "monthly_charges": charges,
            "usage_hours": usage,
            "support_tickets": tickets,
            "late_payments": late,
            "satisfaction": satisfaction,
            "age": age,
            "contract": contract,
            "payment_method": random.choice(
                ["bank-transfer", "card", "invoice", "wallet"], rows, p=[0.3, 0.35, 0.25, 0.1]
            ),
            "internet_service": internet,
            "region": random.choice(["north", "south", "east", "west", "centre"], rows),
            "paperless_billing": np.where(random.random(rows) < 0.6, "true", "false"),
        }
    )
    for name, amount in drift.items():
        frame[name] = frame[name] + amount * frame[name].std()
    for name, (low, high) in BOUNDS.items():
        frame[name] = frame[name].clip(low, high)
        frame[name] = frame[name].round(0 if name in WHOLE_NUMBERS else 2)
    return frame


def churn_probability(customers: pd.DataFrame) -> np.ndarray:
    """The true probability of churn, shape (rows,): logistic, with interactions."""
    monthly = (customers["contract"] == "month-to-month").to_numpy()
    fiber = (customers["internet_service"] == "fiber").to_numpy()
    score = (
        -2.5
        + 1.9 * monthly
        - 0.9 * (customers["contract"] == "two-year").to_numpy()
        - 0.9 * np.log1p(customers["tenure_months"].to_numpy()) / 2
        + 0.03 * (customers["monthly_charges"].to_numpy() - 50)
        + 0.55 * customers["support_tickets"].to_numpy() * monthly
        - 0.32 * (customers["satisfaction"].to_numpy() - 6)
        + 0.45 * customers["late_payments"].to_numpy()
        + 0.5 * (customers["payment_method"] == "invoice").to_numpy()
        + 1.1 * np.exp(-(((customers["age"].to_numpy() - 25) / 9) ** 2))
        - 0.012 * customers["usage_hours"].to_numpy() * ~fiber
    )
    return np.asarray(1 / (1 + np.exp(-0.8 * score)))


def bayes_auc(probability: np.ndarray) -> float:
    """The expected AUC of the true probabilities, the best that any model can reach.

    A pair counts with the probability that the one churns and the other does not; the ranking is
    right where the one that churns has the higher probability.

    Args:
        probability: True probabilities, shape (rows,), distinct up to negligible ties.

    Returns:
        Expected AUC in [0.5, 1].
    """
    p = np.sort(probability)
    stay_below = np.concatenate([[0.0], np.cumsum(1 - p)[:-1]])
    right = float(np.sum(p * stay_below))
    pairs = float(p.sum() * (1 - p).sum() - np.sum(p * (1 - p)))
    return right / pairs


def add_defects(random: np.random.Generator, customers: pd.DataFrame) -> pd.DataFrame:
    """The file's lines: gaps, lines sent twice, corrections, and lines that break the contract."""
    lines = customers.astype(dict.fromkeys(customers.columns, object))
    for name in BOUNDS:
        template = "{:.0f}" if name in WHOLE_NUMBERS else "{:.2f}"
        lines[name] = customers[name].map(template.format)
    for name, share in {**MISSING_SHARE, "payment_method": MISSING_PAYMENT_SHARE}.items():
        lines.loc[random.random(len(lines)) < share, name] = ""

    def some(share: float) -> pd.DataFrame:
        return lines.iloc[
            random.choice(len(lines), max(1, int(share * len(lines))), replace=False)
        ].copy()

    corrections = some(CORRECTION_SHARE)
    outdated = corrections.copy()
    outdated["satisfaction"] = "0.00"
    bad = some(BAD_SHARE)
    bad["customer_id"] = [f"X{number:07d}" for number in range(len(bad))]
    defects = (
        ("tenure_months", "-4"),
        ("monthly_charges", "abc"),
        ("contract", "lifetime"),
        ("usage_hours", "9999"),
        ("churned", ""),
        ("observed_at", "yesterday"),
    )
    for row, index in enumerate(bad.index):
        column, value = defects[row % len(defects)]
        bad.loc[index, column] = value
    # An outdated line stands before its correction: the later line of a file wins.
    return pd.concat([outdated, lines, some(DUPLICATE_SHARE), bad], ignore_index=True)


def truth_file(file: Path) -> Path:
    """Where the true probabilities of a sample file are kept."""
    return file.with_suffix(".truth.csv")


def true_probabilities(file: Path) -> pd.Series | None:
    """True churn probability by customer id, or None where the file is not a generated sample."""
    truth = truth_file(file)
    if not truth.is_file():
        return None
    return pd.read_csv(truth, index_col="customer_id")["probability"]


def _write_whole(file: Path, frame: pd.DataFrame) -> None:
    part = file.with_suffix(f"{file.suffix}.part")
    frame.to_csv(part, index=False, lineterminator="\n")
    part.replace(file)
