"""Compares the duration of a training epoch with that of an epoch in a plain PyTorch loop.

Run from the project's folder (7 minutes on 2 cores):
    python benchmarks/epoch.py --data PATH       # a folder as for tune.py; without it, synthetic images are used

The plain loop is a typical first version: it decodes every PNG again in each epoch and trains on all 288×432 RGB pixels
in float32, with the same channel counts. raygenre decodes each image once and trains on levels (128×333, one channel).
The two loops alternate in this process with the same number of torch threads, and the table shows medians. Finally, two
processes train concurrently with one thread each, as two trials of a search do. Half the duration of their epochs can
be compared with the duration of one epoch on two threads.
"""

import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from raygenre.data import dataset as data_sets
from raygenre.data import splits
from raygenre.model.network import ModelConfig
from raygenre.spectrogram.image import to_image
from raygenre.system import storage
from raygenre.training.config import TrainingConfig
from raygenre.training.loop import fit
from raygenre.training.member import Member, fitted


class PlainCNN(nn.Module):
    """raygenre's layers, arranged in the usual order and applied to RGB images."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        first, second, last = config.widths
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(second, last, 3, padding=1), nn.ReLU(), nn.Dropout(config.dropout)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, config.dense), nn.ReLU()),
            *(nn.Dropout(config.dropout), nn.Linear(config.dense, config.genres)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, G) for images (B, 3, 288, 432)."""
        logits: Tensor = self.layers(images)
        return logits


def plain_epoch(paths: list[Path], labels: NDArray[np.int64], training: TrainingConfig, config: ModelConfig) -> float:
    """Train for one epoch with the plain loop, and return its duration in seconds."""
    torch.manual_seed(0)
    model = PlainCNN(config).train()
    optimizer = torch.optim.NAdam(model.parameters(), lr=training.learning_rate)
    order = torch.randperm(len(paths)).tolist()
    started = time.perf_counter()
    for start in range(0, len(order), training.batch_size):
        chosen = order[start : start + training.batch_size]
        images = [np.asarray(Image.open(paths[i]).convert("RGB"), dtype=np.float32) / 255 for i in chosen]
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        loss = F.cross_entropy(model(batch), torch.from_numpy(labels[chosen]))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return time.perf_counter() - started


def our_epoch(tracks: data_sets.Dataset, train: splits.Indices, training: TrainingConfig, config: ModelConfig) -> float:
    """Train for one epoch with raygenre, and return its duration in seconds."""
    member = Member(config, training, seed=0, train=train, validation=train[:0], device=torch.device("cpu"))
    [metrics] = fit(tracks.levels, tracks.labels, [member], epochs=1)
    return metrics.seconds


def concurrent_epochs(data: Path | None, barrier: Barrier, epochs: int, most: int | None) -> list[float]:
    """Train on one thread while another process does the same, and return the duration of each epoch in seconds."""
    torch.set_num_threads(1)
    tracks = data_sets.load(data, cache=storage.resolve().cache)
    train, training, config = prepared(tracks, most)
    our_epoch(tracks, train[: training.batch_size], training, config)
    barrier.wait()
    return [our_epoch(tracks, train, training, config) for _ in range(epochs)]


def prepared(tracks: data_sets.Dataset, most: int | None) -> tuple[splits.Indices, TrainingConfig, ModelConfig]:
    """Return at most `most` training tracks of the random split, and the training and model configurations."""
    split = splits.random_split(tracks, seed=0, folds=1, validation=0.05, duplicates=None)
    train = splits.indices(tracks, split.train)[:most]
    return train, TrainingConfig(), fitted(ModelConfig(genres=len(tracks.genres)), tracks.levels, train)


def main(
    data: Annotated[Path | None, typer.Option(help="Folder with one subfolder per genre, or Kaggle's GTZAN.")] = None,
    repeats: Annotated[int, typer.Option(help="Number of epochs to measure per row.")] = 3,
    threads: Annotated[int, typer.Option(help="Number of torch threads, for both.")] = 2,
    most: Annotated[int | None, typer.Option(help="Maximum number of training tracks (default: all).", min=1)] = None,
) -> None:
    """Measure one epoch over the training tracks of the random split."""
    torch.set_num_threads(threads)
    tracks = data_sets.load(data, cache=storage.resolve().cache)
    train, training, config = prepared(tracks, most)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.png" for i in train]
        for path, i in zip(paths, train, strict=True):
            to_image(tracks.levels[i]).save(path)
        plain, ours, single = [], [], []
        for _ in range(repeats):
            plain.append(plain_epoch(paths, tracks.labels[train], training, config))
            ours.append(our_epoch(tracks, train, training, config))
            torch.set_num_threads(1)
            single.append(our_epoch(tracks, train, training, config))
            torch.set_num_threads(threads)
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(2, mp_context=context) as pool:
        barrier = manager.Barrier(2)
        futures = [pool.submit(concurrent_epochs, data, barrier, repeats, most) for _ in range(2)]
        halves = [seconds / 2 for future in futures for seconds in future.result()]
    table = Table(
        "training",
        "s per epoch",
        "tracks/s",
        "time vs. plain loop",
        title=f"{len(train)} tracks, medians of {repeats} epochs",
    )
    base = statistics.median(plain)
    for name, times in (
        (f"plain loop over PNGs, {threads} threads", plain),
        (f"raygenre, {threads} threads", ours),
        ("raygenre, 1 thread", single),
        ("raygenre, 2 processes with 1 thread each, per epoch", halves),
    ):
        median = statistics.median(times)
        table.add_row(name, f"{median:.1f}", f"{len(train) / median:.1f}", f"1/{base / median:.1f}")
    Console().print(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
