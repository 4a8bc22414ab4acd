"""Batches the windows of concurrent requests.

A batch contains the windows that arrived while the previous batches were running, so no request has to wait until a
batch is full. Ray Serve's own batching closes each batch before waiting for the network, so every request that arrives
while the network is busy would become a separate batch. Batches consist of windows rather than whole songs, and songs
take turns contributing one window each, so long songs do not delay short ones. Each batch uses one classifier, so two
threads can run two models on the same song at the same time. A batch that runs alone uses the cores otherwise shared by
all threads. This halves the network's latency for a single client, and the probabilities stay bitwise identical.
"""

import asyncio
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre.errors import RaygenreError
from raygenre.model.classifier import Classifier
from serve.inference.helper_threads import HelperThreads
from serve.monitoring.metrics import Metrics


class BatchError(RaygenreError, RuntimeError):
    """A model failed on a batch."""


class _Song:
    """A song whose windows are being classified.

    Attributes:
        inputs: the windows as inputs of the classifier, (W, *shape).
        enqueued_at: time of arrival, as returned by `time.perf_counter`.
        next_window: index of the first window that is not in a batch yet.
        result: future of the probabilities (W, G); cancelled when the request no longer needs them.
    """

    def __init__(self, classifier: Classifier, inputs: NDArray[Any]) -> None:
        self.classifier = classifier
        self.inputs = inputs
        self.enqueued_at = time.perf_counter()
        self.next_window = 0
        self.result: Future[NDArray[np.float32]] = Future()
        self._lock = threading.Lock()  # several threads may classify windows of the same song
        self._rows: dict[int, NDArray[np.float32]] = {}

    def add(self, window: int, row: NDArray[np.float32]) -> None:
        """Add a window's probabilities (G,); the last window completes the result."""
        with self._lock:
            self._rows[window] = row
            if len(self._rows) == len(self.inputs) and self.result.set_running_or_notify_cancel():
                self.result.set_result(np.stack([self._rows[index] for index in range(len(self.inputs))]))

    def fail(self, error: BatchError) -> None:
        """Set the error as the result, unless the song already has a result."""
        with self._lock:
            if not self.result.done() and self.result.set_running_or_notify_cancel():
                self.result.set_exception(error)


class Batcher:
    """The threads that run the network in one replica.

    Args:
        max_windows: maximum number of windows in a batch.
        threads: number of batches that run at the same time, each on its own thread and core.
    """

    def __init__(self, max_windows: int, metrics: Metrics, *, threads: int = 1) -> None:
        self._max_windows = max_windows
        self._metrics = metrics
        self._threads = threads
        self._songs: deque[_Song] = deque()  # songs with windows that are not in a batch yet
        self._running = 0  # number of batches
        # While the first thread is free, it takes all songs that arrive. Only this thread ever uses several cores: with
        # more threads than cores, OpenMP's threads would sleep between the layers of a network instead of waiting
        # actively.
        self._is_first_free = True
        self._lock = threading.RLock()  # guards all of these
        self._first, self._others = threading.Condition(self._lock), threading.Condition(self._lock)
        for number in range(threads):
            threading.Thread(target=self._run, args=(number == 0,), name=f"forward_{number}", daemon=True).start()

    async def __call__(self, classifier: Classifier, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probabilities (W, G) of a song's windows, (W, *shape).

        Raises:
            BatchError: the classifier failed.
        """
        song = _Song(classifier, inputs)
        with self._lock:
            self._songs.append(song)
            self._wake()
        return await asyncio.wrap_future(song.result)

    def _run(self, is_first: bool) -> None:
        try:
            self._take_batches(is_first)
        finally:  # if an error outside the network ends this thread, the others take all songs
            with self._lock:
                self._is_first_free &= not is_first
                self._others.notify_all()

    def _take_batches(self, is_first: bool) -> None:
        torch.get_num_threads()  # torch's first call in a thread applies the number of cores last set in any thread
        helpers = HelperThreads(self._threads) if is_first and self._threads > 1 else None
        while True:
            batch, cores = self._next_batch(is_first)
            self._metrics.batch(len(batch))
            torch.set_num_threads(cores)  # OpenMP keeps this setting per thread
            if helpers and cores > 1:
                helpers.leave_core()
            self._classify(batch, is_first)

    def _wake(self) -> None:
        """Wake a thread to process the songs in the queue."""
        (self._first if self._is_first_free else self._others).notify()

    def _next_batch(self, is_first: bool) -> tuple[list[tuple[_Song, int]], int]:
        """Wait for the next batch, and return it with the number of cores to use.

        The batch is a list of (song, window index) pairs; all songs in it use the same classifier.
        """
        batch: list[tuple[_Song, int]] = []
        skipped: list[_Song] = []  # songs for another classifier, oldest first
        with self._lock:
            while not batch:
                while not self._songs or (self._is_first_free and not is_first):
                    (self._first if is_first else self._others).wait()
                while self._songs and len(batch) < self._max_windows:
                    song = self._songs.popleft()
                    if song.result.done():  # its request ended, or another of its windows failed
                        continue
                    if batch and song.classifier is not batch[0][0].classifier:
                        skipped.append(song)
                        continue
                    batch.append((song, song.next_window))
                    song.next_window += 1
                    if song.next_window < len(song.inputs):
                        self._songs.append(song)
            self._songs.extendleft(reversed(skipped))
            self._is_first_free &= not is_first
            if self._songs:
                self._wake()  # another thread can start
            cores = self._threads if is_first and not self._songs and not self._running else 1
            self._running += 1
        return batch, cores

    def _classify(self, batch: list[tuple[_Song, int]], is_first: bool) -> None:
        classifier = batch[0][0].classifier
        started = time.perf_counter()
        for song, window in batch:
            if not window:
                self._metrics.stage("queue", started - song.enqueued_at)
        try:
            rows = classifier.probabilities(np.stack([song.inputs[window] for song, window in batch]))
        except Exception as error:  # noqa: BLE001 (a network's error must affect only its own songs, not this thread)
            batch_error = BatchError(repr(error))
            batch_error.__cause__ = error
            for song, _ in batch:
                song.fail(batch_error)
            return
        finally:
            with self._lock:
                self._is_first_free |= is_first
                # This must precede the results, because clients may send their next files as soon as they get a result.
                self._running -= 1
        self._metrics.stage("forward", time.perf_counter() - started)
        for (song, window), row in zip(batch, rows, strict=True):
            song.add(window, row)
