"""The search: Ray Tune runs the trials, Optuna chooses their settings, the study is the ledger."""
