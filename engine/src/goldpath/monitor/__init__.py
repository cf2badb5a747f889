"""The monitoring page: drift, quality, versions and alerts on one page, without Grafana."""
