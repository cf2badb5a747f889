"""The lakehouse: Iceberg tables with snapshots, on this machine or on AWS."""
