"""Requests that arrive during a batch, fairness to short songs, and failing networks."""

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
from serve.inference.batching import Batcher, BatchError
from serve.monitoring.metrics import Metrics


@dataclass
class PausedClassifier:
    """A classifier whose network pauses before each batch and records its size."""

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
def paused() -> Iterator[PausedClassifier]:
    paused = PausedClassifier(small())
    paused.classifier.model.register_forward_pre_hook(paused.wait)
    yield paused
    paused.go.set()


@pytest.fixture
def metrics(ray_cluster: None) -> Metrics:
    return Metrics()


def windows(number: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (number, 128, 333), dtype=np.uint8)


async def start(paused: PausedClassifier, batcher: Batcher, number: int) -> "asyncio.Task[NDArray[np.float32]]":
    """Submit a song, and return once the network has received its first batch."""
    task = asyncio.ensure_future(batcher(paused.classifier, windows(number)))
    assert await asyncio.to_thread(paused.entered.wait, 60)
    return task


def test_requests_during_a_batch_form_the_next_one(paused: PausedClassifier, metrics: Metrics) -> None:
    async def ask() -> list[Any]:
        batcher = Batcher(4, metrics)
        first = await start(paused, batcher, 1)
        others = [asyncio.ensure_future(batcher(paused.classifier, windows(1, seed))) for seed in range(1, 7)]
        await asyncio.sleep(0)  # let the songs enter the queue
        paused.go.set()
        return await asyncio.gather(first, *others)

    results = asyncio.run(ask())
    assert paused.batches == [1, 4, 2]
    for seed, rows in enumerate(results):
        assert rows == pytest.approx(paused.classifier.probabilities(windows(1, seed)), abs=1e-6)


def test_a_long_song_does_not_delay_a_short_one(paused: PausedClassifier, metrics: Metrics) -> None:
    async def ask() -> tuple[bool, NDArray[np.float32]]:
        batcher = Batcher(2, metrics)
        long = await start(paused, batcher, 30)
        short = asyncio.ensure_future(batcher(paused.classifier, windows(1, 1)))
        await asyncio.sleep(0)
        paused.go.set()
        await short
        batches = len(paused.batches)
        assert not long.done()
        return batches <= 4, await long

    soon, rows = asyncio.run(ask())
    assert soon
    assert rows == pytest.approx(paused.classifier.probabilities(windows(30)), abs=1e-6)  # in the order of the windows


def test_a_failing_network_fails_only_its_own_songs(paused: PausedClassifier, metrics: Metrics) -> None:
    broken = small(3)
    broken.model.classifier = torch.nn.Sequential(torch.nn.Linear(5, 3))  # expects a different input size

    async def ask() -> list[Any]:
        batcher = Batcher(8, metrics)
        first = await start(paused, batcher, 1)
        others = [batcher(broken, windows(2)), batcher(paused.classifier, windows(2, 1)), batcher(broken, windows(1))]
        waiting = [asyncio.ensure_future(result) for result in others]
        await asyncio.sleep(0)
        paused.go.set()
        return await asyncio.gather(first, *waiting, return_exceptions=True)

    first, failed, answered, also_failed = asyncio.run(ask())
    assert isinstance(failed, BatchError)
    assert isinstance(also_failed, BatchError)
    assert len(first) == 1
    assert len(answered) == 2


def test_windows_of_cancelled_requests_are_dropped(paused: PausedClassifier, metrics: Metrics) -> None:
    async def ask() -> None:
        batcher = Batcher(2, metrics)
        first = await start(paused, batcher, 1)
        cancelled = asyncio.ensure_future(batcher(paused.classifier, windows(20)))
        await asyncio.sleep(0)
        cancelled.cancel()
        last = asyncio.ensure_future(batcher(paused.classifier, windows(1, 1)))
        await asyncio.sleep(0.01)
        paused.go.set()
        await asyncio.gather(first, last)

    asyncio.run(ask())
    assert paused.batches == [1, 1]


def test_several_threads_classify_one_song(metrics: Metrics) -> None:
    classifier = small()
    rows = asyncio.run(Batcher(2, metrics, threads=3)(classifier, windows(40)))
    assert rows == pytest.approx(classifier.probabilities(windows(40)), abs=1e-6)


def test_two_models_classify_one_song_at_the_same_time(metrics: Metrics) -> None:
    """Each network waits until the other network is also running."""
    barrier = threading.Barrier(2, timeout=10)

    def meet(_: GenreCNN, given: tuple[torch.Tensor]) -> None:
        barrier.wait()

    classifiers = [small(2), small(3)]
    for classifier in classifiers:
        classifier.model.register_forward_pre_hook(meet)

    async def ask() -> list[NDArray[np.float32]]:
        batcher = Batcher(4, metrics, threads=2)
        batcher._lock.acquire()  # no thread takes a song until both songs are queued
        try:
            waiting = [asyncio.ensure_future(batcher(classifier, windows(1))) for classifier in classifiers]
            await asyncio.sleep(0)
        finally:
            batcher._lock.release()
        return await asyncio.gather(*waiting)

    assert [rows.shape for rows in asyncio.run(ask())] == [(1, 2), (1, 3)]


def test_only_a_batch_that_is_alone_uses_all_cores(paused: PausedClassifier, metrics: Metrics) -> None:
    cores: list[int] = []
    paused.classifier.model.register_forward_pre_hook(lambda *_: cores.append(torch.get_num_threads()), prepend=True)

    async def ask() -> None:
        batcher = Batcher(1, metrics, threads=2)
        first = await start(paused, batcher, 1)
        others = [asyncio.ensure_future(batcher(paused.classifier, windows(1, seed))) for seed in (1, 2)]
        await asyncio.sleep(0)
        paused.go.set()
        await asyncio.gather(first, *others)
        await batcher(paused.classifier, windows(1, 3))
        for seed in range(4, 8):  # any of the threads may be free first
            await batcher(paused.classifier, windows(1, seed))

    asyncio.run(ask())
    assert (cores[0], cores[1]) == (2, 1)
    assert cores[3:] == [2] * 5
