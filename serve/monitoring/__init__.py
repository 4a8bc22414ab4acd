"""Logs, metrics, alerts and the Grafana dashboard."""
