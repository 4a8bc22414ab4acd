"""Windows through the network's thread, to classifiers that keep what they are asked."""

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from ray import serve

from raygenre.classifier import Classifier
from serve.forward import Forward, ForwardError
from serve.metrics import Metrics

BATCH = 4


@pytest.fixture(autouse=True)
def replica(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ray Serve's batches ask a replica."""
    context = SimpleNamespace(_deployment_config=SimpleNamespace(max_ongoing_requests=64))
    monkeypatch.setattr(serve, "get_replica_context", lambda: context)


class Network:
    """Says the same of all windows, once it may.

    Attributes:
        batches: the number that each window of each batch is filled with.
    """

    def __init__(self, *, fault: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.free = threading.Event(), threading.Event()
        self._fault = fault

    def probabilities(self, levels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(levels[:, 0, 0].tolist())
        self.begun.set()
        assert self.free.wait(20)
        if self._fault:
            raise ValueError("an odd shape")
        return np.full((len(levels), 2), 0.5, dtype=np.float32)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One for all tests, as Ray Serve's batches belong to the loop that they first met."""
    with asyncio.Runner() as runner:
        yield runner


def song(*numbers: int) -> NDArray[np.uint8]:
    return np.stack([np.full((128, 333), number, dtype=np.uint8) for number in numbers])


def test_a_model_that_fails_costs_its_own_songs_alone(loop: asyncio.Runner) -> None:
    good, bad = Network(), Network(fault=True)

    async def ask() -> list[NDArray[np.float32] | BaseException]:
        forward = Forward(BATCH, Metrics())
        first = asyncio.ensure_future(forward(cast(Classifier, good), song(0)))
        await asyncio.to_thread(good.begun.wait, 20)
        both = [asyncio.ensure_future(forward(cast(Classifier, one), song(1, 2))) for one in (good, bad)]
        await asyncio.sleep(0.05)  # so that they wait together
        good.free.set()
        bad.free.set()
        return await asyncio.gather(first, *both, return_exceptions=True)

    first, answered, failed = loop.run(ask())
    assert isinstance(first, np.ndarray)
    assert isinstance(answered, np.ndarray)
    assert answered.shape == (2, 2)
    assert isinstance(failed, ForwardError)
    assert "an odd shape" in str(failed)
    assert good.batches == [[0], [1, 2]]
    assert bad.batches == [[1, 2]]


def test_a_short_song_waits_for_one_batch_of_a_long_one(loop: asyncio.Runner) -> None:
    network = Network()

    async def ask() -> None:
        forward = Forward(BATCH, Metrics())
        long = asyncio.ensure_future(forward(cast(Classifier, network), song(*range(40))))
        await asyncio.to_thread(network.begun.wait, 20)
        short = asyncio.ensure_future(forward(cast(Classifier, network), song(99)))
        await asyncio.sleep(0.05)
        network.free.set()
        assert (await long).shape == (40, 2)
        await short

    loop.run(ask())
    order = [number for batch in network.batches for number in batch]
    assert order.index(99) <= 2 * BATCH
    assert sorted(order) == [*range(40), 99]
    assert max(map(len, network.batches)) <= BATCH
