"""The Optuna study on disk or at a URL: ledger, locks and checkpoints."""
