"""The summary of a search in MLflow: description, table of trials and figures."""
