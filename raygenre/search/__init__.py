"""Hyperparameter search: Ray Tune runs trials that Optuna proposes and the study records."""
