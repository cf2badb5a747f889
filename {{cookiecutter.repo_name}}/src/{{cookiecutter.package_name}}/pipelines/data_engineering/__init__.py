"""From raw rows to the training table: what this data needs beyond its contract.

The contract (`config/project.yaml`) names the columns, their types and what they allow. The three
recipes here are Ibis expressions, so the same lines run on DuckDB and on Athena.
"""
