"""Grafana's dashboards as code: the JSON files of the template's `infra/grafana/dashboards/`.

A module for each dashboard says which panels it has and what they ask Prometheus. `make dashboards`
writes the files; a test compares them with what this code builds.
"""
