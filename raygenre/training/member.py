"""The state of a training run for one fold or seed, and the seeding of random generators."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raygenre.model.head import HeadConfig
from raygenre.model.networks import Network, NetworkConfig, build
from raygenre.training.config import TrainingConfig
from raygenre.training.optimizer import make_optimizer

Inputs = NDArray[Any]
"""Levels, uint8 (N, M, T), or features, float32 (N, F)."""
Config = TypeVar("Config", bound=NetworkConfig)
Indices = NDArray[np.int64]


class Member:
    """The state of a training run for a single fold or seed.

    Attributes:
        epoch: number of completed epochs.
        model, optimizer: the network and its optimizer, on `device`.
        average: the network with the moving average of the weights; None if the setting disables averaging.
        validation_logits: float32 (V, G) on the CPU, the logits of the validation tracks after the last epoch; None
            until the first epoch ends.
        chosen_logits: the validation logits of the epoch that the caller of `fit` chooses; the caller sets this
            attribute.
    """

    def __init__(
        self,
        model: NetworkConfig,
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
        self.chosen_logits: Tensor | None = None
        with seeded(seed, 0, device):
            network = build(model)
        self.model = network.to(memory_format=torch.channels_last).to(device)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False) if training.averaging else None
        self.optimizer = make_optimizer(self.model, training)

    @property
    def network(self) -> Network:
        """The network to validate and save."""
        return self.average or self.model

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimizer steps in an epoch."""
        tracks = len(self.train) * self.training.crops
        if isinstance(self.model.config, HeadConfig):
            # If a single track is left over, it joins the previous batch, because batch normalisation needs at least
            # two tracks.
            tracks = max(1, tracks - 1)
        return math.ceil(tracks / self.training.batch_size)

    def batches(self, order: Indices) -> list[Indices]:
        """Divide the tracks of an epoch, int64 (N,), into one batch per step."""
        size, steps = self.training.batch_size, self.steps_per_epoch
        return np.split(order, [size * step for step in range(1, steps)])

    def update_average(self, step: int) -> None:
        """Move the averaged weights towards the current weights after a step; steps are counted from 0.

        In the first steps, the average follows the weights more closely, so the untrained weights never dominate it.
        """
        if self.average is None:
            return
        decay = min(self.training.averaging, (1 + step) / (10 + step))
        with torch.no_grad():
            current = self.model.state_dict()
            for name, averaged in self.average.state_dict().items():
                if averaged.is_floating_point():
                    averaged.lerp_(current[name], 1 - decay)
                else:
                    averaged.copy_(current[name])  # the batch count of batch normalisation


def fitted(config: Config, inputs: Inputs, train: Indices) -> Config:
    """Return `config` with the mean and standard deviation of the training tracks' levels, or the number of features.

    Args:
        inputs: levels, uint8 (N, M, T), or features, float32 (N, F).
        train: int64, indices of the training tracks.
    """
    if isinstance(config, HeadConfig):
        return replace(config, features=inputs.shape[1])
    counts = np.bincount(inputs[train].reshape(-1), minlength=256)
    values = np.arange(256)
    mean = float(counts @ values / counts.sum())
    deviation = math.sqrt(float(counts @ (values - mean) ** 2 / counts.sum()))
    return replace(config, level_mean=mean, level_std=max(deviation, 1.0))


@contextmanager
def seeded(seed: int, number: int, device: torch.device) -> Iterator[None]:
    """Seed torch's random generators on entry and restore their previous state on exit."""
    on_gpu = device.type == "cuda"
    # cuDNN's default kernels add numbers in an order that varies from call to call.
    deterministic = (
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True) if on_gpu else nullcontext()
    )
    with torch.random.fork_rng(devices=[device] if on_gpu else []), deterministic:
        torch.manual_seed(int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0]))
        yield
