"""Logs and metrics, with Prometheus rules and a Grafana dashboard."""
