"""Hyperparameter search: Ray Tune runs trials, Optuna proposes them, the study records them."""
