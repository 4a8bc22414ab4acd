"""Uploads runs to MLflow; updates are queued on disk while the server is unreachable."""
