"""Files become songs beside the event loop, which answers meanwhile: pictures in threads, sound in processes.

What nobody waits for any more ends at once: a process that decodes for a client who has left or whose time is up is
killed, a thread that draws spectrograms looks before each of them, and what still waits for a thread is dropped.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre import audio, spectrogram
from raygenre.spectrogram.song import Song, from_samples, read
from serve.errors import RefusalError
from serve.inference.decoder_process import LED_ASTRAY, CrashError, DecoderProcess
from serve.inference.file_type import sniff
from serve.monitoring import logs
from serve.monitoring.metrics import Metrics

T = TypeVar("T")

_OF_THE_FILE = (
    "SIGSEGV",
    "SIGBUS",
    "SIGABRT",
    "SIGFPE",
    "SIGILL",
    LED_ASTRAY,
)  # how code ends that a file leads astray


class _LeftError(Exception):
    """Nobody waits for this file any more."""


class _Waiting:
    """Somebody who waits for a file, and the process that works for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = False
        self._process: DecoderProcess | None = None

    def check(self) -> None:
        """See whether they still wait.

        Raises:
            _LeftError: they have left.
        """
        if self._left:
            raise _LeftError

    def take(self, process: DecoderProcess | None) -> None:
        """Note the process that works for them from now on, or that none does any more.

        Raises:
            _LeftError: they have left.
        """
        with self._lock:
            self._process = process
            self.check()

    def leave(self) -> None:
        """Say that they have left, or have their answer."""
        with self._lock:
            self._left = True
            if self._process:
                self._process.kill()


class Decoder:
    """The threads and processes of one replica.

    Args:
        number: of files that are worked on at a time.
        longest_seconds: of sound in a file.
        patience: s that a decoder may take for a file.
        retry_after: s that clients are told to wait.
    """

    def __init__(
        self, number: int, metrics: Metrics, *, longest_seconds: float, patience: float = 60, retry_after: int = 2
    ) -> None:
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="decode")
        self._idle: queue.SimpleQueue[DecoderProcess] = queue.SimpleQueue()
        for _ in range(number):
            self._idle.put(DecoderProcess())
        self._longest = longest_seconds
        self._patience = patience
        self._again = {"Retry-After": str(retry_after)}
        self._metrics = metrics

    async def song(self, data: bytes) -> Song:
        """Read a file as the network sees it.

        Raises:
            RefusalError: 415, 422, or 503 where the system has ended the decoder.
        """
        kind = sniff(data)
        return await self._run(lambda waiting: self._song(data, kind, waiting))

    async def picture(self, data: bytes, window: int) -> tuple[bytes, int]:
        """Draw one window of a file as the dataset has it; return the PNG and how many windows there are.

        Raises:
            RefusalError: 415, 422, or 503 where the system has ended the decoder.
        """
        kind = sniff(data)
        return await self._run(lambda waiting: self._picture(data, kind, window, waiting))

    def close(self) -> None:
        """End the threads, once they are done, and the processes."""
        self._pool.shutdown()
        while not self._idle.empty():
            self._idle.get().end()

    async def _run(self, work: Callable[[_Waiting], T]) -> T:
        waiting, asked = _Waiting(), time.perf_counter()

        def timed() -> T:
            waiting.check()
            self._metrics.stage("wait", time.perf_counter() - asked)
            return work(waiting)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, timed)
        except ValueError as error:
            raise RefusalError(422, str(error)) from error
        except CrashError as error:
            self._metrics.crash(error.cause)
            logs.warning("decoder ended", cause=error.cause)
            if error.cause in _OF_THE_FILE:
                detail = f"the file makes the decoder end with {error.cause}; convert it to FLAC or MP3"
                raise RefusalError(422, detail) from error
            raise RefusalError(503, "the decoder ended, as when memory runs out; try again", self._again) from error
        except OSError as error:
            logs.error("decoder not started", error)
            raise RefusalError(503, "no decoder can be started at the moment; try again", self._again) from error
        finally:
            waiting.leave()

    def _song(self, data: bytes, kind: str, waiting: _Waiting) -> Song:
        started = time.perf_counter()
        if kind == "png":
            song = read(data)
            self._metrics.stage("decode", time.perf_counter() - started)
            return song
        samples = self._samples(data, waiting)
        drawing = time.perf_counter()
        song = from_samples(samples, progress=waiting.check)
        self._metrics.stage("decode", drawing - started)
        self._metrics.stage("levels", time.perf_counter() - drawing)
        return song

    def _picture(self, data: bytes, kind: str, window: int, waiting: _Waiting) -> tuple[bytes, int]:
        if kind == "png":
            levels, windows = spectrogram.read_png(data), 1
        else:
            found = audio.windows(self._samples(data, waiting))
            windows = len(found)
            if window < windows:
                sound = torch.from_numpy(found[window].samples)
                levels = spectrogram.levels(sound, under_frame=True).numpy()
        if window >= windows:
            raise ValueError(f"the file has {windows} windows, counted from 0; there is no window {window}")
        return spectrogram.write_png(levels), windows

    def _samples(self, data: bytes, waiting: _Waiting) -> NDArray[np.float32]:
        process = self._idle.get_nowait()  # there is one for each thread
        try:
            process = _fresh(process)
            waiting.take(process)
            try:
                return process.decode(data, longest_seconds=self._longest, patience=self._patience)
            finally:
                waiting.take(None)
        except _LeftError:
            process.end()  # it has been killed, or is about to be
            raise
        finally:
            with suppress(OSError):  # no other can be started now: the next file's thread tries again
                process = _fresh(process)
            self._idle.put(process)


def _fresh(process: DecoderProcess) -> DecoderProcess:
    """The process, or another one if it is spent; the system may have ended it while it had nothing to do."""
    if not process.spent:
        return process
    process.end()
    return DecoderProcess()
