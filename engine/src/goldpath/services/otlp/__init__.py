"""Metrics that programs push by OpenTelemetry's protocol, as Prometheus reads them."""
