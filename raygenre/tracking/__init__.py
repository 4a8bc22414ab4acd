"""Uploads of runs to MLflow, queued on disk while the server is unreachable."""
