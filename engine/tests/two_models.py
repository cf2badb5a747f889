"""A project with churn and, of the same customers, revenue: both trained, both champion."""

import csv
from pathlib import Path

from goldpath.contract import Contract, load_contract
from goldpath.jobs.data.refresh import refresh_all
from goldpath.jobs.models.addition import add_model
from goldpath.jobs.promotion.promote import promote
from goldpath.jobs.training.stages import train
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings, load_settings

from .ready_made import add_ready_made

REVENUE = "revenue"
TARGET = "monthly_revenue"
ROWS = 1_200


def add_revenue_column(file: Path) -> None:
    """Give the sample what each customer brings; each 50th row has no such label."""
    with file.open(newline="", encoding="utf-8") as lines:
        names, *rows = csv.reader(lines)
    charges, tickets = names.index("monthly_charges"), names.index("support_tickets")
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow([*names, TARGET])
        for number, row in enumerate(rows):
            writer.writerow([*row, _revenue(row[charges], row[tickets], number)])


def _revenue(charges: str, tickets: str, number: int) -> str:
    try:
        if number % 50 == 0:
            return ""
        return f"{0.8 * float(charges) - 2 * float(tickets) + number % 7:.2f}"
    except ValueError:
        return ""


def train_both(settings: Settings) -> None:
    """Sample, the further model, data once, then a champion of each."""
    add_ready_made(settings)
    contract = load_contract(settings.root)
    file = settings.root / contract.source.path
    write_sample(file, ROWS, 7, {})
    add_revenue_column(file)
    add_model(settings, REVENUE, TARGET)
    own = settings.root / "models" / REVENUE / "training.yaml"
    own.write_text("cv_folds: 2\ntrials: 1\n", encoding="utf-8")
    refresh_all(settings, contract)
    for each in (settings, revenue(settings)):
        quick = each.training.model_copy(update={"trials": 1})
        chosen = each.model_copy(update={"training": quick})
        candidate = train(chosen, contract_of(each), "first")
        promote(chosen, contract_of(each), candidate.model_version)


def revenue(settings: Settings) -> Settings:
    """The settings of the further model."""
    return load_settings(settings.root, settings.whole_project, REVENUE)


def contract_of(settings: Settings) -> Contract:
    """The contract of the model that the settings are of."""
    return load_contract(settings.root, settings.model)
