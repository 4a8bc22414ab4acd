"""Measures loss variances and simulates searches, to choose the number of folds per trial.

Run from the project's folder, with GTZAN's images (an hour on 2 cores):
    .venv/bin/python benchmarks/folds.py --data PATH

Settings sampled from the default space are each trained on five folds, and once more on the first fold with a new seed.
Losses are compared within folds, so a fold's difficulty does not affect the result. The remaining variances show how
much a setting's rank varies between folds (interaction) and between seeds. These variances are then used to simulate
searches with a fixed budget, from few trials on many folds to many trials on one fold. As in a real search, the best
three settings are then trained two more times. The table shows by how much the winner's true loss exceeds the lowest
true loss of a thousand settings.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from raygenre.data import dataset as data_sets
from raygenre.data import splits
from raygenre.model.network import ModelConfig
from raygenre.search.space.samplers import sampler
from raygenre.search.space.space import default_space
from raygenre.system import storage
from raygenre.training.config import TrainingConfig
from raygenre.training.loop import fit
from raygenre.training.member import Member, fitted

FOLDS = 5
SIMULATIONS = 20_000


def train(task: tuple[Path, dict[str, float], int, int, int]) -> float:
    """Train a setting on a fold and return its lowest validation loss."""
    data, setting, fold, seed, epochs = task
    torch.set_num_threads(1)
    tracks = data_sets.load(data, cache=storage.resolve().cache)
    parts = splits.random_split(tracks, seed=0, folds=FOLDS, validation=0.2, duplicates=[]).folds[fold]
    chosen, held_out = splits.indices(tracks, parts.train), splits.indices(tracks, parts.validation)
    config = fitted(ModelConfig(genres=len(tracks.genres), dropout=setting["dropout"]), tracks.levels, chosen)
    training = TrainingConfig(learning_rate=setting["learning_rate"], decay=setting["decay"])
    member = Member(config, training, seed=seed, train=chosen, validation=held_out, device=torch.device("cpu"))
    return min(row.validation_loss for row in fit(tracks.levels, tracks.labels, [member], epochs=epochs))


def deviations_of(losses: NDArray[np.float64], repeated: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the standard deviations due to the setting, the interaction and the seed.

    Args:
        losses: (S, FOLDS), the loss of each setting on each fold.
        repeated: (S,), the loss of each setting on the first fold with a new seed.
    """
    settings, folds = losses.shape
    rest = losses - losses.mean(axis=1, keepdims=True) - losses.mean(axis=0) + losses.mean()
    residual = float((rest**2).sum() / ((settings - 1) * (folds - 1)))
    seed = float(((losses[:, 0] - repeated - (losses[:, 0] - repeated).mean()) ** 2).sum() / (settings - 1) / 2)
    between = float(losses.mean(axis=1).var(ddof=1)) - residual / folds
    return max(between, 0) ** 0.5, max(residual - seed, 0) ** 0.5, seed**0.5


def regret(trials: int, folds: int, deviations: tuple[float, float, float], generator: np.random.Generator) -> float:
    """Return by how much, on average, the winner's true loss exceeds the lowest of 1000 losses."""
    setting, interaction, seed = deviations
    true = setting * generator.standard_normal((SIMULATIONS, trials))
    ranks = true + interaction * generator.standard_normal(true.shape) / folds**0.5  # the same in all runs of a setting
    searched = ranks + seed * generator.standard_normal(true.shape) / folds**0.5
    best = searched.argsort(axis=1)[:, :3]
    repeated = np.take_along_axis(ranks, best, 1) + seed * generator.standard_normal(best.shape) / (2 * folds) ** 0.5
    winner = np.take_along_axis(best, repeated.argmin(axis=1)[:, None], 1)
    floor = setting * generator.standard_normal((2_000, 1_000)).min(axis=1).mean()
    return float(np.take_along_axis(true, winner, 1).mean() - floor)


def main(
    data: Annotated[Path, typer.Option(help="GTZAN's images.")],
    settings: Annotated[int, typer.Option(help="Number of settings to sample.")] = 6,
    epochs: Annotated[int, typer.Option(help="Epochs of each training run.")] = 10,
    budget: Annotated[int, typer.Option(help="Training runs in the trials of a simulated search.")] = 20,
    jobs: Annotated[int, typer.Option(help="Concurrent training runs.")] = 2,
    output: Annotated[Path | None, typer.Option("-o", help="Write the losses to this JSON file.")] = None,
) -> None:
    """Measure the variances, and simulate searches."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=sampler("random", seed=0, trials=settings))
    drawn = [study.ask(default_space(epochs)).params for _ in range(settings)]
    tasks = [(data, drawn[i], fold, i, epochs) for i in range(settings) for fold in range(FOLDS)]
    tasks += [(data, drawn[i], 0, 1000 + i, epochs) for i in range(settings)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(train, tasks))
    losses = np.array(results[: settings * FOLDS]).reshape(settings, FOLDS)
    repeated = np.array(results[settings * FOLDS :])
    if output:
        output.write_text(json.dumps({"settings": drawn, "losses": losses.tolist(), "again": repeated.tolist()}))
    deviations = deviations_of(losses, repeated)
    console = Console()
    names = ("between settings", "setting and fold", "seed")
    console.print(
        "Standard deviation of the validation loss: "
        + ", ".join(f"{name} {value:.3f}" for name, value in zip(names, deviations, strict=True))
    )
    table = Table(
        "folds",
        "trials",
        "excess of the winner's true loss",
        title=f"{budget} training runs, then repeats of the best 3",
    )
    for folds in (1, 2, FOLDS):
        excess = regret(budget // folds, folds, deviations, np.random.default_rng(0))
        table.add_row(str(folds), str(budget // folds), f"{excess:.3f}")
    console.print(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
