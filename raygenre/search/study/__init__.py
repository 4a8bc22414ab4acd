"""An Optuna study on disk or at a URL: its ledger, locks and checkpoints."""
