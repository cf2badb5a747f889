"""Rows for the benchmarks: the sample's columns as text, with gaps, bad values and duplicates."""

from pathlib import Path

import duckdb

MONTHS = 24


def write_rows(file: Path, rows: int) -> None:
    """Write a Parquet file of text columns, as a CSV reader gives them.

    About 0.5 % of the rows break the contract and 1.5 % repeat an earlier key.
    """
    database = duckdb.connect()
    database.sql("SET memory_limit = '2GB'")
    database.sql("SET enable_progress_bar = false")
    customer = "CASE WHEN i % 67 = 0 THEN greatest(i - 1000, 0) ELSE i END"
    database.sql(f"""
        COPY (
            WITH numbers AS (
                SELECT i, {customer} AS k, CAST(hash(i) >> 1 AS BIGINT) AS h FROM range({rows}) t(i)
            )
            SELECT 'C' || lpad(CAST(k AS VARCHAR), 9, '0') AS customer_id,
                   CASE WHEN h % 1009 = 0 THEN 'yesterday' ELSE strftime(
                       TIMESTAMP '2024-01-01'
                       + to_seconds(k * {MONTHS * 30 * 86400} // {rows}), '%Y-%m-%d %H:%M:%S')
                   END AS observed_at,
                   CAST(h % 72 AS VARCHAR) AS tenure_months,
                   CASE WHEN h % 613 = 0 THEN '-5' ELSE CAST((h % 12000) / 100 AS VARCHAR) END
                       AS monthly_charges,
                   CASE WHEN h % 20 = 0 THEN '' ELSE CAST((h % 7000) / 10 AS VARCHAR) END
                       AS usage_hours,
                   CAST(h % 9 AS VARCHAR) AS support_tickets,
                   CASE WHEN h % 31 = 0 THEN 'NA' ELSE CAST(h % 5 AS VARCHAR) END AS late_payments,
                   CASE WHEN h % 11 = 0 THEN '' ELSE CAST((h % 100) / 10 AS VARCHAR) END
                       AS satisfaction,
                   CASE WHEN h % 811 = 0 THEN 'old' ELSE CAST(18 + h % 70 AS VARCHAR) END AS age,
                   list_value('month-to-month', 'one-year', 'two-year')[1 + h % 3] AS contract,
                   list_value('bank-transfer', 'card', 'invoice', 'wallet', '')[1 + h % 5]
                       AS payment_method,
                   list_value('dsl', 'fiber', 'none')[1 + (h // 7) % 3] AS internet_service,
                   list_value('north', 'south', 'east', 'west', 'centre')[1 + (h // 3) % 5]
                       AS region,
                   CASE WHEN h % 5 < 3 THEN 'true' ELSE 'false' END AS paperless_billing,
                   CASE WHEN (h // 11) % 4 = 0 THEN 'yes' ELSE 'no' END AS churned
            FROM numbers
        ) TO '{file}' (FORMAT parquet, COMPRESSION zstd)""")


def write_payments(file: Path, rows: int, customers: int) -> None:
    """Write a Parquet file of the customers' payments, as text; about 0.5 % break the contract."""
    database = duckdb.connect()
    database.sql("SET memory_limit = '2GB'")
    database.sql("SET enable_progress_bar = false")
    database.sql(f"""
        COPY (
            WITH numbers AS (
                SELECT i, CAST(hash(i + 7) >> 1 AS BIGINT) AS h FROM range({rows}) t(i)
            )
            SELECT 'C' || lpad(CAST(h % {customers} AS VARCHAR), 9, '0') AS customer_id,
                   CASE WHEN h % 1013 = 0 THEN 'soon' ELSE strftime(
                       TIMESTAMP '2024-01-01' + to_seconds(i * {MONTHS * 30 * 86400} // {rows}),
                       '%Y-%m-%d %H:%M:%S') END AS paid_at,
                   CASE WHEN h % 251 = 0 THEN '-5' ELSE CAST((h % 40000) / 100 AS VARCHAR) END
                       AS amount,
                   list_value('bank-transfer', 'card', 'invoice', 'wallet', '')[1 + h % 5]
                       AS method
            FROM numbers
        ) TO '{file}' (FORMAT parquet, COMPRESSION zstd)""")
