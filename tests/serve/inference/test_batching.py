"""Batches are what came in meanwhile, in fair turns, and one network's failure is no other's."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from serve.inference.batching import Batcher, ForwardError
from serve.monitoring.metrics import Metrics


@dataclass
class MemoryBudget:
    """A classifier whose network waits before each batch until it is let go, and what it was given."""

    classifier: Classifier
    go: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    batches: list[int] = field(default_factory=list)

    def wait(self, _: GenreCNN, given: tuple[torch.Tensor]) -> None:
        self.batches.append(len(given[0]))
        self.entered.set()
        assert self.go.wait(60)


def small(genres: int = 2) -> Classifier:
    torch.manual_seed(genres)
    model = GenreCNN(ModelConfig(genres=genres, widths=(1, 1, 1), dense=2)).eval()
    return Classifier(model, tuple("abcdef"[:genres]))


@pytest.fixture
def held() -> Iterator[MemoryBudget]:
    made = MemoryBudget(small())
    made.classifier.model.register_forward_pre_hook(made.wait)
    yield made
    made.go.set()


@pytest.fixture
def metrics(ray_cluster: None) -> Metrics:
    return Metrics()


def windows(number: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (number, 128, 333), dtype=np.uint8)


async def under_way(held: MemoryBudget, forward: Batcher, number: int) -> "asyncio.Task[NDArray[np.float32]]":
    """Begin a song, and return once the network has its first batch."""
    task = asyncio.ensure_future(forward(held.classifier, windows(number)))
    assert await asyncio.to_thread(held.entered.wait, 60)
    return task


def test_what_came_in_meanwhile_is_one_batch(held: MemoryBudget, metrics: Metrics) -> None:
    async def ask() -> list[Any]:
        forward = Batcher(4, metrics)
        first = await under_way(held, forward, 1)
        others = [asyncio.ensure_future(forward(held.classifier, windows(1, seed))) for seed in range(1, 7)]
        await asyncio.sleep(0)  # they begin
        held.go.set()
        return await asyncio.gather(first, *others)

    found = asyncio.run(ask())
    assert held.batches == [1, 4, 2]
    for seed, rows in enumerate(found):
        assert rows == pytest.approx(held.classifier.probabilities(windows(1, seed)), abs=1e-6)


def test_a_long_song_does_not_hold_up_a_short_one(held: MemoryBudget, metrics: Metrics) -> None:
    async def ask() -> tuple[bool, NDArray[np.float32]]:
        forward = Batcher(2, metrics)
        long = await under_way(held, forward, 30)
        short = asyncio.ensure_future(forward(held.classifier, windows(1, 1)))
        await asyncio.sleep(0)
        held.go.set()
        await short
        batches = len(held.batches)
        assert not long.done()
        return batches <= 4, await long

    soon, rows = asyncio.run(ask())
    assert soon
    assert rows == pytest.approx(held.classifier.probabilities(windows(30)), abs=1e-6)  # in their order


def test_a_network_that_fails_costs_its_own_songs_alone(held: MemoryBudget, metrics: Metrics) -> None:
    broken = small(3)
    broken.model.classifier = torch.nn.Sequential(
        torch.nn.Linear(5, 3)
    )  # the layer before it has another number of units

    async def ask() -> list[Any]:
        forward = Batcher(8, metrics)
        first = await under_way(held, forward, 1)
        others = [forward(broken, windows(2)), forward(held.classifier, windows(2, 1)), forward(broken, windows(1))]
        waiting = [asyncio.ensure_future(other) for other in others]
        await asyncio.sleep(0)
        held.go.set()
        return await asyncio.gather(first, *waiting, return_exceptions=True)

    first, failed, answered, also = asyncio.run(ask())
    assert isinstance(failed, ForwardError)
    assert isinstance(also, ForwardError)
    assert len(first) == 1
    assert len(answered) == 2


def test_windows_that_nobody_waits_for_are_dropped(held: MemoryBudget, metrics: Metrics) -> None:
    async def ask() -> None:
        forward = Batcher(2, metrics)
        first = await under_way(held, forward, 1)
        left = asyncio.ensure_future(forward(held.classifier, windows(20)))
        await asyncio.sleep(0)
        left.cancel()
        last = asyncio.ensure_future(forward(held.classifier, windows(1, 1)))
        await asyncio.sleep(0.01)
        held.go.set()
        await asyncio.gather(first, last)

    asyncio.run(ask())
    assert held.batches == [1, 1]


def test_several_threads_answer_one_song(metrics: Metrics) -> None:
    classifier = small()
    rows = asyncio.run(Batcher(2, metrics, threads=3)(classifier, windows(40)))
    assert rows == pytest.approx(classifier.probabilities(windows(40)), abs=1e-6)
