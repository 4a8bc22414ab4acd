"""Train GenreCNNs on levels, one epoch at a time.

`fit` trains a list of members (folds or repeats with the same settings) and yields each member's metrics after each
epoch. Between epochs, the members contain the entire training state, which `raygenre.training.checkpoint` saves. All
randomness in an epoch (track order, dropout and augmentation) depends only on the member's seed and the epoch number,
so members do not influence each other, and a resumed training run gives the same values, bit for bit.

Shapes: B tracks in a batch, M = 128 mel bands, T = 333 columns, G genres, V validation tracks.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from raygenre.model.inference import CPU_CHUNK, predict_logits
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.model.precision import autocast
from raygenre.training.augmentation import erase
from raygenre.training.choices import AUGMENTATIONS, PRECISIONS, AugmentationName, PrecisionName
from raygenre.training.divergence import check_finite, check_loss
from raygenre.training.optimizer import NAdam

Levels = NDArray[np.uint8]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingConfig:
    """Settings for training a GenreCNN.

    Attributes:
        learning_rate: NAdam's learning rate in the first epoch.
        decay: the learning rate of epoch e, counted from 0, is learning_rate / (1 + decay·e).
        batch_size: tracks per optimizer step.
        augmentation: `erasing` sets a random rectangle to 0 in about half of the tracks.
        precision: `auto` uses bfloat16 on hardware with fast bfloat16 arithmetic, and float32 elsewhere.
    """

    learning_rate: float = 1e-3
    decay: float = 0.01
    batch_size: int = 16
    augmentation: AugmentationName = "none"
    precision: PrecisionName = "auto"

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")
        if self.decay < 0:
            raise ValueError(f"decay must be at least 0, not {self.decay}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {self.batch_size}")
        if self.augmentation not in AUGMENTATIONS:
            raise ValueError(f"augmentation must be none or erasing, not {self.augmentation!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be auto, float32 or bfloat16, not {self.precision!r}")


@dataclass(frozen=True)
class EpochMetrics:
    """A member's metrics in a single epoch.

    Attributes:
        member: the member's index in the list of members.
        epoch: number of the epoch, counted from 1.
        train_loss, train_accuracy: means over the epoch's training tracks, with dropout.
        validation_loss, validation_accuracy: means over the validation tracks after the epoch; NaN for a member without
            validation tracks.
        learning_rate: learning rate in this epoch.
        seconds: duration of training and validation, in s.
        images_per_second: number of training tracks per second, not counting validation time.
    """

    member: int
    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float


class Member:
    """The state of a training run for a single fold or seed.

    Attributes:
        epoch: number of completed epochs.
        model, optimizer: the network and its optimizer, on `device`.
        validation_logits: float32 (V, G) on the CPU, the logits of the validation tracks after the last epoch; None
            until the first epoch ends.
        best_logits: the validation logits of the best epoch. The caller of `fit` determines the best epoch and sets
            this attribute.
    """

    def __init__(
        self,
        model: ModelConfig,
        training: TrainingConfig,
        *,
        seed: int,
        train: Indices,
        validation: Indices,
        device: torch.device,
    ) -> None:
        self.training = training
        self.seed = seed
        self.train = train
        self.validation = validation
        self.device = device
        self.epoch = 0
        self.validation_logits: Tensor | None = None
        self.best_logits: Tensor | None = None
        with _seeded(seed, 0, device):
            network = GenreCNN(model)
        self.model = network.to(memory_format=torch.channels_last).to(device)
        self.optimizer = NAdam(self.model.parameters(), lr=training.learning_rate)


def standardised(config: ModelConfig, levels: Levels, train: Indices) -> ModelConfig:
    """Return `config` with the mean and the standard deviation of the training tracks' levels.

    Args:
        levels: uint8 (N, M, T).
        train: int64, indices of the training tracks.
    """
    counts = np.bincount(levels[train].reshape(-1), minlength=256)
    values = np.arange(256)
    mean = float(counts @ values / counts.sum())
    deviation = math.sqrt(float(counts @ (values - mean) ** 2 / counts.sum()))
    return replace(config, level_mean=mean, level_std=max(deviation, 1.0))


def fit(levels: Levels, labels: NDArray[np.int64], members: Sequence[Member], *, epochs: int) -> Iterator[EpochMetrics]:
    """Train every member until it has completed `epochs` epochs, and yield its metrics after each epoch.

    Args:
        levels: uint8 (N, M, T); may be read-only, as in Ray's object store.
        labels: int64 (N,).
        epochs: total number of epochs, including those already completed.

    Raises:
        DivergedError: a member's training loss is far above that of guessing after the first epoch, or a loss is not
            finite.
    """
    on_gpu = bool(members) and members[0].device.type == "cuda"
    resident = torch.tensor(levels, device=members[0].device) if on_gpu else None
    while min((member.epoch for member in members), default=epochs) < epochs:
        for number, member in enumerate(members):
            if member.epoch < epochs:
                yield _epoch(number, member, levels, resident, labels)


def _epoch(
    number: int, member: Member, levels: Levels, resident: Tensor | None, labels: NDArray[np.int64]
) -> EpochMetrics:
    started = time.perf_counter()
    training, model = member.training, member.model
    learning_rate = training.learning_rate / (1 + training.decay * member.epoch)
    for group in member.optimizer.param_groups:
        group["lr"] = learning_rate
    model.train()
    losses = torch.zeros((), device=member.device)
    correct = torch.zeros((), device=member.device)
    with _seeded(member.seed, member.epoch + 1, member.device):
        order = member.train[torch.randperm(len(member.train)).numpy()]
        for start in range(0, len(order), training.batch_size):
            tracks = order[start : start + training.batch_size]
            if resident is None:
                batch = torch.from_numpy(levels[tracks])
            else:
                batch = resident[torch.from_numpy(tracks).to(member.device)]
            truth = torch.from_numpy(labels[tracks]).to(member.device)
            if training.augmentation == "erasing":
                batch = erase(batch)
            loss, hits = _step(member, batch, truth)
            losses += loss
            correct += hits
    train_loss = losses.item() / len(order)
    where = f"in epoch {member.epoch + 1} (learning rate {learning_rate:.3g}, dropout {model.config.dropout:.3g})"
    check_finite(train_loss, name="training", where=where)
    if member.epoch:  # the first epoch includes the first steps, whose loss may be high although training recovers
        check_loss(train_loss, genres=model.config.genres, name="training", where=where)
    trained = time.perf_counter()
    validation_loss = validation_accuracy = math.nan
    if len(member.validation):
        logits = predict_logits(model, levels[member.validation], precision=training.precision)
        member.validation_logits = logits
        truth = torch.from_numpy(labels[member.validation])
        validation_loss = F.cross_entropy(logits, truth).item()
        validation_accuracy = (logits.argmax(dim=1) == truth).float().mean().item()
        # Only finite: with batch normalisation, the validation loss of one epoch may be high and that of the next low.
        check_finite(validation_loss, name="validation", where=where)
    member.epoch += 1
    return EpochMetrics(
        member=number,
        epoch=member.epoch,
        train_loss=train_loss,
        train_accuracy=correct.item() / len(order),
        validation_loss=validation_loss,
        validation_accuracy=validation_accuracy,
        learning_rate=learning_rate,
        seconds=time.perf_counter() - started,
        images_per_second=len(order) / (trained - started),
    )


def _step(member: Member, batch: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Take an optimizer step on levels (B, M, T) and labels (B,); return the loss sum and the number of hits."""
    undivided = member.device.type != "cpu" or member.model.config.normalisation == "batch"
    chunk = len(truth) if undivided else CPU_CHUNK  # batch normalisation needs the statistics of the whole batch
    losses = torch.zeros((), device=member.device)
    correct = torch.zeros((), device=member.device)
    member.optimizer.zero_grad(set_to_none=True)
    for part, expected in zip(batch.split(chunk), truth.split(chunk), strict=True):
        with autocast(member.training.precision, member.device):
            logits = member.model(part)
        loss = F.cross_entropy(logits.float(), expected, reduction="sum")
        torch.autograd.backward(loss / len(truth))
        losses += loss.detach()
        correct += (logits.detach().argmax(dim=1) == expected).sum()
    member.optimizer.step()
    return losses, correct


@contextmanager
def _seeded(seed: int, number: int, device: torch.device) -> Iterator[None]:
    """Seed torch's random generators on entry and restore their previous state on exit."""
    on_gpu = device.type == "cuda"
    # cuDNN's default kernels add numbers in an order that varies from call to call.
    deterministic = (
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True) if on_gpu else nullcontext()
    )
    with torch.random.fork_rng(devices=[device] if on_gpu else []), deterministic:
        torch.manual_seed(int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0]))
        yield
