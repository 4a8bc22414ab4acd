"""What an epoch costs: raygenre's training beside a plain loop over the dataset's pictures.

Run, from the project's folder (7 minutes on 2 cores):
    python benchmarks/epoch.py --data PATH       # the folder that tune.py takes; synthetic pictures without it

The plain loop is what one writes first: open every PNG anew in each epoch, all 288×432 pixels in RGB, float32, the same
channel widths. raygenre decodes once and trains on levels (128×333, one channel). Both run in this process, on as many
torch threads, in turns; the table gives medians. Last, two processes train side by side with one thread each, as two
trials do: what counts there is half of an epoch's time, beside one epoch on two threads.
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
from raygenre.training.loop import Member, TrainingConfig, fit, standardised


class PlainCNN(nn.Module):
    """The same layers on RGB pictures, in the usual order."""

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

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, 288, 432) → logits (B, G)."""
        logits: Tensor = self.layers(pictures)
        return logits


def plain_epoch(paths: list[Path], labels: NDArray[np.int64], training: TrainingConfig, config: ModelConfig) -> float:
    """Train one epoch the plain way, and return the s it took."""
    torch.manual_seed(0)
    model = PlainCNN(config).train()
    optimizer = torch.optim.NAdam(model.parameters(), lr=training.learning_rate)
    order = torch.randperm(len(paths)).tolist()
    started = time.perf_counter()
    for start in range(0, len(order), training.batch_size):
        chosen = order[start : start + training.batch_size]
        pictures = [np.asarray(Image.open(paths[i]).convert("RGB"), dtype=np.float32) / 255 for i in chosen]
        batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
        loss = F.cross_entropy(model(batch), torch.from_numpy(labels[chosen]))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return time.perf_counter() - started


def our_epoch(tracks: data_sets.Dataset, train: splits.Indices, training: TrainingConfig, config: ModelConfig) -> float:
    """Train one epoch with raygenre, and return the s it took."""
    member = Member(config, training, seed=0, train=train, validation=train[:0], device=torch.device("cpu"))
    [metrics] = fit(tracks.levels, tracks.labels, [member], epochs=1)
    return metrics.seconds


def epochs_beside_another(data: Path | None, together: Barrier, epochs: int, most: int | None) -> list[float]:
    """In a process: train epochs on one thread, while another process does the same, and return the s of each."""
    torch.set_num_threads(1)
    tracks = data_sets.load(data, cache=storage.resolve().cache)
    train, training, config = prepared(tracks, most)
    our_epoch(tracks, train[: training.batch_size], training, config)
    together.wait()
    return [our_epoch(tracks, train, training, config) for _ in range(epochs)]


def prepared(tracks: data_sets.Dataset, most: int | None) -> tuple[splits.Indices, TrainingConfig, ModelConfig]:
    """The training tracks of the random split, at most so many, and how they are trained on."""
    split = splits.random_split(tracks, seed=0, folds=1, validation=0.05, duplicates=None)
    train = splits.indices(tracks, split.train)[:most]
    return train, TrainingConfig(), standardised(ModelConfig(genres=len(tracks.genres)), tracks.levels, train)


def main(
    data: Annotated[Path | None, typer.Option(help="Folder of <class>/ folders, or Kaggle's GTZAN.")] = None,
    repeats: Annotated[int, typer.Option(help="Epochs of each kind.")] = 3,
    threads: Annotated[int, typer.Option(help="Of torch, for both.")] = 2,
    most: Annotated[int | None, typer.Option(help="Tracks to train on; all of them without it.", min=1)] = None,
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
        together = manager.Barrier(2)
        beside = [pool.submit(epochs_beside_another, data, together, repeats, most) for _ in range(2)]
        halves = [seconds / 2 for one in beside for seconds in one.result()]
    table = Table(
        "training", "s an epoch", "tracks/s", "of the plain loop", title=f"{len(train)} tracks, medians of {repeats}"
    )
    base = statistics.median(plain)
    for name, times in (
        (f"plain loop over PNGs, {threads} threads", plain),
        (f"raygenre, {threads} threads", ours),
        ("raygenre, 1 thread", single),
        ("raygenre, 1 thread in each of two processes, for one epoch", halves),
    ):
        median = statistics.median(times)
        table.add_row(name, f"{median:.1f}", f"{len(train) / median:.1f}", f"1/{base / median:.1f}")
    Console().print(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
