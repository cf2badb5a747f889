"""The names of the lake's tables."""

from ..contract import Contract
from .lakehouse import TableName


def bronze_table(contract: Contract) -> TableName:
    """Raw rows as they came, append-only."""
    return TableName("bronze", contract.dataset)


def silver_table(contract: Contract) -> TableName:
    """Typed, checked rows, one for each entity and event time."""
    return TableName("silver", contract.dataset)


def quarantine_table(contract: Contract) -> TableName:
    """Rows that the contract refuses, with the reasons."""
    return TableName("quarantine", contract.dataset)


def gold_table(contract: Contract) -> TableName:
    """What models are trained on: entity, event time, features, target."""
    return TableName("gold", contract.dataset)


def predictions_table(contract: Contract) -> TableName:
    """What batch inference wrote."""
    return TableName("predictions", contract.dataset)
