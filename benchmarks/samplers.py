"""Compares the samplers on a synthetic validation loss.

The loss depends on three hyperparameters and is noisy; two trials run concurrently.

Run from the project's folder (a minute on 2 cores):
    python benchmarks/samplers.py
"""

import statistics

import numpy as np
import optuna
from rich.console import Console
from rich.table import Table

from raygenre.search.space.choices import SAMPLERS
from raygenre.search.space.samplers import SamplerName, sampler
from raygenre.search.space.space import default_space

SEEDS = 12
BUDGETS = (8, 20, 60)  # completed trials
NOISE = 0.02  # standard deviation of the loss over training seeds
SPACE = default_space(40)
LOW = {"dropout": 0.0, "learning_rate": 2e-4, "decay": 0.1 / 40}
HIGH = {"dropout": 0.5, "learning_rate": 5e-3, "decay": 9 / 40}


def excess(params: dict[str, float], centre: np.ndarray) -> float:
    """Return by how much a setting's noise-free loss exceeds the minimum."""
    dropout = params["dropout"] / HIGH["dropout"]
    rate, decay = (
        np.log(params[name] / LOW[name]) / np.log(HIGH[name] / LOW[name]) for name in ("learning_rate", "decay")
    )
    x, y, z = np.array([dropout, rate, decay]) - centre
    return float(0.3 * x**2 + 1.5 * y**2 + 0.4 * z**2 + 0.6 * y * z)


def search(name: SamplerName, trials: int, seed: int) -> float:
    """Run a search; return by how much its best setting's noise-free loss exceeds the minimum."""
    generator = np.random.default_rng(seed)
    centre = generator.uniform(0.2, 0.8, 3)
    study = optuna.create_study(sampler=sampler(name, seed=seed, trials=trials))
    running: list[optuna.Trial] = []
    for number in range(trials + 1):
        if number < trials:
            running.append(study.ask(dict(SPACE)))
        while running and (len(running) == 2 or number == trials):
            trial = running.pop(0)
            study.tell(trial, excess(trial.params, centre) + generator.normal(0, NOISE))
    return excess(study.best_params, centre)


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = Table("sampler", *(f"{trials} trials" for trials in BUDGETS), title="Excess loss, median over seeds")
    for name in SAMPLERS:
        medians = [statistics.median(search(name, trials, seed) for seed in range(SEEDS)) for trials in BUDGETS]
        table.add_row(name, *(f"{value:.4f}" for value in medians))
    Console().print(table)


if __name__ == "__main__":
    main()
