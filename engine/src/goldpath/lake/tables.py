"""The names of the lake's tables, and of the columns that the lake adds to them."""

from goldpath.contract import Contract
from goldpath.lake.lakehouse import TableName
from goldpath.row_contract import RowContract

# Bronze's own columns, beside the source's.
SOURCE_FILE = "_source_file"
BATCH = "_batch_id"
INGESTED_AT = "_ingested_at"
ROW_NUMBER = "_row_number"
# Every layer's partition: the interval of the row's event time, such as 2026-03.
INTERVAL = "_interval"
# The partition of what the service logged, such as 2026-03-14.
DAY = "_day"
# The line as it was logged, where its values do not fit the table's columns.
LINE = "_line"
# Of the predictions: whether the champion was trained or judged on the row.
TRAINING_ROW = "training_row"
# The partition of what a shard of a batch inference wrote.
SHARD = "_shard"
# Quarantine's: why the row was refused.
REASONS = "_reasons"


def bronze_table(contract: RowContract) -> TableName:
    """Raw rows as they came, append-only."""
    return TableName("bronze", contract.base)


def silver_table(contract: RowContract) -> TableName:
    """Typed, checked rows, one for each key: of the main table, entity and event time."""
    return TableName("silver", contract.dataset)


def quarantine_table(contract: RowContract) -> TableName:
    """Rows that the contract refuses, with the reasons."""
    return TableName("quarantine", contract.dataset)


def gold_table(contract: RowContract) -> TableName:
    """What models are trained on: entity, event time, features, target."""
    return TableName("gold", contract.dataset)


def predictions_table(contract: Contract) -> TableName:
    """What batch inference wrote."""
    return TableName("predictions", contract.dataset)


def prediction_shards_table(contract: Contract) -> TableName:
    """What the shards of batch inferences wrote, until their run is complete."""
    return TableName("prediction_shards", contract.dataset)


def batch_plans_table(contract: Contract) -> TableName:
    """How batch inferences were divided into shards."""
    return TableName("_batch_plans", contract.dataset)


def batch_records_table(contract: Contract) -> TableName:
    """Which shards of them were scored."""
    return TableName("_batch_records", contract.dataset)


def served_table(contract: Contract) -> TableName:
    """What the service predicted: the prediction log's lines, moved here."""
    return TableName("prediction_log", contract.dataset)


def feedback_table(contract: Contract) -> TableName:
    """The labels that came back to the service."""
    return TableName("feedback", contract.dataset)


def runs_table(contract: RowContract, step: str = "") -> TableName:
    """What each pipeline run did to each interval: snapshots and row counts.

    Models that share bronze share its records.
    """
    return TableName("_pipeline_runs", contract.base if step == "bronze" else contract.dataset)
