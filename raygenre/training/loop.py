"""Train networks on levels or features, one epoch at a time.

`fit` trains a list of members (folds or repeats with the same settings) and yields each member's metrics after each
epoch. Between epochs, the members contain the entire training state, which `raygenre.training.checkpoint` saves. All
randomness in an epoch (track order, dropout and augmentation) depends only on the member's seed and the epoch number,
so members do not influence each other, and a resumed training run produces the same values, bit for bit.

Shapes: B tracks in a batch, M = 128 mel bands, T = 333 columns, C columns of a crop, F features, G genres.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from raygenre.model.inference import CPU_CHUNK, predict_logits
from raygenre.model.network import GenreCNN
from raygenre.model.networks import needs_whole_batches
from raygenre.model.precision import autocast
from raygenre.training.augmentation import augment, mix
from raygenre.training.divergence import check_finite, check_loss
from raygenre.training.member import Inputs, Member, seeded


@dataclass(frozen=True)
class EpochMetrics:
    """A member's metrics in a single epoch.

    Attributes:
        member: the member's index in the list of members.
        epoch: number of the epoch, counted from 1.
        train_loss, train_accuracy: means over the epoch's training tracks, with dropout.
        validation_loss, validation_accuracy: means over the validation tracks after the epoch; NaN for a member without
            validation tracks.
        learning_rate: mean learning rate of this epoch's steps.
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


def fit(inputs: Inputs, labels: NDArray[np.int64], members: Sequence[Member], *, epochs: int) -> Iterator[EpochMetrics]:
    """Train every member until it has completed `epochs` epochs, and yield its metrics after each epoch.

    Args:
        inputs: levels, uint8 (N, M, T), or features, float32 (N, F); may be read-only, as in Ray's object store.
        labels: int64 (N,).
        epochs: total number of epochs, including those already completed. Schedules depend on it.

    Raises:
        DivergedError: a loss is not finite or, after the first epoch, a member's training loss is far above that of
            guessing.
    """
    on_gpu = bool(members) and members[0].device.type == "cuda"
    resident = torch.tensor(inputs, device=members[0].device) if on_gpu else None
    while min((member.epoch for member in members), default=epochs) < epochs:
        for number, member in enumerate(members):
            if member.epoch < epochs:
                yield _epoch(number, member, inputs, resident, labels, epochs)


def _epoch(
    number: int, member: Member, inputs: Inputs, resident: Tensor | None, labels: NDArray[np.int64], epochs: int
) -> EpochMetrics:
    started = time.perf_counter()
    training, model = member.training, member.model
    steps = member.steps_per_epoch
    model.train()
    losses = torch.zeros((), device=member.device)
    correct = torch.zeros((), device=member.device)
    rates = []
    with seeded(member.seed, member.epoch + 1, member.device):
        tracks_of_epoch = np.tile(member.train, training.crops)
        order = tracks_of_epoch[torch.randperm(len(tracks_of_epoch)).numpy()]
        for step, tracks in enumerate(member.batches(order)):
            if resident is None:
                batch = torch.from_numpy(inputs[tracks])
            else:
                batch = resident[torch.from_numpy(tracks).to(member.device)]
            truth = torch.from_numpy(labels[tracks]).to(member.device)
            rates.append(training.learning_rate_at((member.epoch * steps + step) / (epochs * steps), member.epoch))
            for group in member.optimizer.param_groups:
                group["lr"] = rates[-1]
            if isinstance(model, GenreCNN):
                batch = augment(batch, training, model.config.crop_columns)
            loss, hits = _step(member, batch, truth)
            member.update_average(member.epoch * steps + step)
            losses += loss
            correct += hits
    learning_rate = sum(rates) / len(rates)
    train_loss = losses.item() / len(order)
    where = f"in epoch {member.epoch + 1} (learning rate {learning_rate:.3g}, dropout {model.config.dropout:.3g})"
    check_finite(train_loss, name="training", where=where)
    if member.epoch:  # the first epoch includes the first steps, whose loss may be high although training recovers
        check_loss(train_loss, genres=model.config.genres, name="training", where=where)
    trained = time.perf_counter()
    validation_loss = validation_accuracy = math.nan
    if len(member.validation):
        logits = predict_logits(member.network, inputs[member.validation], precision=training.precision)
        member.validation_logits = logits
        truth = torch.from_numpy(labels[member.validation])
        validation_loss = F.cross_entropy(logits, truth).item()
        validation_accuracy = (logits.argmax(dim=1) == truth).float().mean().item()
        # Check only that the loss is finite: with batch normalisation, the validation loss may be high in one epoch and
        # low in the next.
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
    """Take a step on levels (B, M, C) or features (B, F); return the summed loss and number of correct predictions."""
    training = member.training
    targets = truth
    if training.mixup:
        targets = F.one_hot(truth, member.model.config.genres).float()
        batch, targets = mix(batch, targets, training.mixup)
    undivided = member.device.type != "cpu" or needs_whole_batches(member.model.config)
    chunk = len(truth) if undivided else CPU_CHUNK
    losses = torch.zeros((), device=member.device)
    correct = torch.zeros((), device=member.device)
    member.optimizer.zero_grad(set_to_none=True)
    for part, expected, label in zip(batch.split(chunk), targets.split(chunk), truth.split(chunk), strict=True):
        with autocast(training.precision, member.device):
            logits = member.model(part)
        loss = F.cross_entropy(logits.float(), expected, reduction="sum", label_smoothing=training.label_smoothing)
        torch.autograd.backward(loss / len(truth))
        losses += loss.detach()
        correct += (logits.detach().argmax(dim=1) == label).sum()
    member.optimizer.step()
    return losses, correct
