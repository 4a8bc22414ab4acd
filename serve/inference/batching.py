"""Windows of many requests go through the network together.

A batch is what came in while the one before was under way: nobody waits for others to come. Ray Serve's own batches
close when they are begun to be waited for, so that behind a busy network each request would be one of its own. Windows,
not songs, are batched, and each song that waits gives one in turn, so that a long song does not hold up short ones.
"""

import asyncio
import threading
import time
from collections import deque
from concurrent.futures import Future

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre.errors import RaygenreError
from raygenre.model.classifier import Classifier
from serve.monitoring.metrics import Metrics


class ForwardError(RaygenreError, RuntimeError):
    """A model failed over a song."""


class _Song:
    """A song's windows on their way through the network.

    Attributes:
        levels: uint8 (W, 128, 333).
        asked: when it came, s of `time.perf_counter`.
        begun: number of windows that are in the network or behind it.
        answer: probabilities (W, G), once all are there; cancelled when nobody waits for it any more.
    """

    def __init__(self, classifier: Classifier, levels: NDArray[np.uint8]) -> None:
        self.classifier = classifier
        self.levels = levels
        self.asked = time.perf_counter()
        self.begun = 0
        self.answer: Future[NDArray[np.float32]] = Future()
        self._lock = threading.Lock()  # its windows may be with several threads
        self._rows: dict[int, NDArray[np.float32]] = {}

    def add(self, place: int, row: NDArray[np.float32]) -> None:
        """Take a window's probabilities (G,); the last one completes the answer."""
        with self._lock:
            self._rows[place] = row
            if len(self._rows) == len(self.levels) and self.answer.set_running_or_notify_cancel():
                self.answer.set_result(np.stack([self._rows[place] for place in range(len(self.levels))]))

    def fail(self, error: ForwardError) -> None:
        """Answer with an error, unless there is an answer."""
        with self._lock:
            if not self.answer.done() and self.answer.set_running_or_notify_cancel():
                self.answer.set_exception(error)


class Batcher:
    """The network's threads in one replica.

    Args:
        most: windows in a batch.
        threads: batches that are under way at a time.
    """

    def __init__(self, most: int, metrics: Metrics, *, threads: int = 1) -> None:
        self._most = most
        self._metrics = metrics
        self._songs: deque[_Song] = deque()  # with windows that have not begun
        self._arrival = threading.Condition()
        for number in range(threads):
            threading.Thread(target=self._work, name=f"forward_{number}", daemon=True).start()

    async def __call__(self, classifier: Classifier, levels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities (W, G) of a song's windows (W, 128, 333).

        Raises:
            ForwardError: the classifier failed.
        """
        song = _Song(classifier, levels)
        with self._arrival:
            self._songs.append(song)
            self._arrival.notify()
        return await asyncio.wrap_future(song.answer)

    def _work(self) -> None:
        torch.set_num_threads(1)  # OpenMP keeps it by thread
        while True:
            batch = self._next()
            self._metrics.batch(len(batch))
            # One classifier, but while a new one takes over or a challenger is tried; neither may spoil the other's.
            for classifier in {id(song.classifier): song.classifier for song, _ in batch}.values():
                self._forward(classifier, [part for part in batch if part[0].classifier is classifier])

    def _next(self) -> list[tuple[_Song, int]]:
        """Wait for the next batch: songs, each with the place of a window."""
        batch: list[tuple[_Song, int]] = []
        with self._arrival:
            while not batch:
                while not self._songs:
                    self._arrival.wait()
                while self._songs and len(batch) < self._most:
                    song = self._songs.popleft()
                    if song.answer.done():  # nobody waits any more, or another of its windows has failed
                        continue
                    batch.append((song, song.begun))
                    song.begun += 1
                    if song.begun < len(song.levels):
                        self._songs.append(song)
            if self._songs:
                self._arrival.notify()  # another thread can begin
        return batch

    def _forward(self, classifier: Classifier, batch: list[tuple[_Song, int]]) -> None:
        started = time.perf_counter()
        for song, place in batch:
            if not place:
                self._metrics.stage("queue", started - song.asked)
        try:
            rows = classifier.probabilities(np.stack([song.levels[place] for song, place in batch]))
        except Exception as error:  # noqa: BLE001 (whatever a network comes up with: the thread lives on for the others)
            failure = ForwardError(repr(error))
            failure.__cause__ = error
            for song, _ in batch:
                song.fail(failure)
            return
        self._metrics.stage("forward", time.perf_counter() - started)
        for (song, place), row in zip(batch, rows, strict=True):
            song.add(place, row)
