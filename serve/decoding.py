"""Files become songs in a few threads, so that the event loop answers meanwhile.

A thread cannot be killed. So that none goes on for a client who has left or whose time is up, each file has a flag
that its thread looks at before every packet of sound and every window, a matter of milliseconds; files that still wait
for a thread are dropped at once.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

import torch

from raygenre import audio, spectrogram
from raygenre.song import Song, read
from serve.metrics import Metrics
from serve.problems import RefusalError
from serve.sniff import sniff

T = TypeVar("T")


class _StoppedError(Exception):
    """Nobody waits for this file any more."""


class Decoder:
    """The threads of one replica."""

    def __init__(self, threads: int, longest_seconds: float, metrics: Metrics) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._longest = longest_seconds
        self._metrics = metrics

    async def song(self, data: bytes) -> Song:
        """Read a file as the network sees it.

        Raises:
            RefusalError: 415 or 422.
        """
        sniff(data)
        return await self._run(lambda stop: self._song(data, stop))

    async def picture(self, data: bytes, window: int) -> tuple[bytes, int]:
        """Draw one window of a file as the dataset has it; return the PNG and how many windows there are.

        Raises:
            RefusalError: 415 or 422.
        """
        kind = sniff(data)
        return await self._run(lambda stop: self._picture(data, kind, window, stop))

    async def _run(self, work: Callable[[threading.Event], T]) -> T:
        stop, asked = threading.Event(), time.perf_counter()

        def timed() -> T:
            self._metrics.stage("wait", time.perf_counter() - asked)
            return work(stop)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, timed)
        except ValueError as error:
            raise RefusalError(422, str(error)) from error
        finally:
            stop.set()

    def _song(self, data: bytes, stop: threading.Event) -> Song:
        started, drawing = time.perf_counter(), 0.0

        def progress(stage: Literal["decode", "levels"]) -> None:
            nonlocal drawing
            if stage == "levels" and not drawing:
                drawing = time.perf_counter()
            _go_on(stop)

        song = read(data, longest_seconds=self._longest, progress=progress)
        ended = time.perf_counter()
        self._metrics.stage("decode", (drawing or ended) - started)
        if drawing:
            self._metrics.stage("levels", ended - drawing)
        return song

    def _picture(self, data: bytes, kind: str, window: int, stop: threading.Event) -> tuple[bytes, int]:
        if kind == "png":
            levels, windows = spectrogram.read_png(data), 1
        else:
            samples = audio.decode(data, longest_seconds=self._longest, tick=lambda: _go_on(stop))
            found = audio.windows(samples)
            windows = len(found)
            if window < windows:
                sound = torch.from_numpy(found[window].samples)
                levels = spectrogram.levels(sound, under_frame=True).numpy()
        if window >= windows:
            raise ValueError(f"the file has {windows} windows, counted from 0; there is no window {window}")
        return spectrogram.write_png(levels), windows


def _go_on(stop: threading.Event) -> None:
    if stop.is_set():
        raise _StoppedError
