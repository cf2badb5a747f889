"""The lakehouse on AWS: Ibis expressions as Athena SQL over Glue tables."""
