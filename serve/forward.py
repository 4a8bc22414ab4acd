"""Windows of many requests go through the network together.

A batch is what came in while the one before was under way: nobody waits for others to come. Windows, not songs, are
what is batched, and a song has no more of them waiting than one batch holds: however long it is, a short one that comes
after it waits for one batch of its windows, and not for all of them.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ray import serve

from raygenre.classifier import Classifier
from serve.metrics import Metrics


class ForwardError(RuntimeError):
    """A model failed over a song."""


@dataclass(frozen=True)
class _Window:
    """Levels uint8 (128, 333), the classifier they are for, and when they came."""

    classifier: Classifier
    levels: NDArray[np.uint8]
    asked: float


class Forward:
    """The network's thread in one replica."""

    def __init__(self, most: int, metrics: Metrics) -> None:
        self._most = most
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="forward")
        self._rows.set_max_batch_size(most)  # type: ignore[attr-defined]

    async def __call__(self, classifier: Classifier, levels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities (W, G) of a song's windows (W, 128, 333).

        Raises:
            ForwardError: the classifier failed.
        """
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(levels), self._most):
            asked = time.perf_counter()
            some = [self._rows(_Window(classifier, window, asked)) for window in levels[start : start + self._most]]
            for row in await asyncio.gather(*some):
                if isinstance(row, Exception):
                    raise ForwardError(repr(row)) from row
                rows.append(row)
        return np.stack(rows)

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0)
    async def _rows(self, windows: list[_Window]) -> list[NDArray[np.float32] | Exception]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._forward, windows)

    def _forward(self, windows: list[_Window]) -> list[NDArray[np.float32] | Exception]:
        started = time.perf_counter()
        self._metrics.batch(len(windows))
        rows: dict[int, NDArray[np.float32] | Exception] = {}
        classifiers = {id(window.classifier): window.classifier for window in windows}
        for key, classifier in classifiers.items():  # one, but while a new one takes over or a challenger is tried
            places = [place for place, window in enumerate(windows) if id(window.classifier) == key]
            try:
                found = classifier.probabilities(np.stack([windows[place].levels for place in places]))
            except Exception as error:  # noqa: BLE001 (the fault of one model shall not cost the windows of others)
                rows.update(dict.fromkeys(places, error))
            else:
                rows.update(zip(places, found, strict=True))
        self._metrics.stage("queue", started - min(window.asked for window in windows))
        self._metrics.stage("forward", time.perf_counter() - started)
        return [rows[place] for place in range(len(windows))]
