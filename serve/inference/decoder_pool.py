"""Decodes files outside the event loop: PNGs in threads, audio in processes.

Work for a request that has ended stops as soon as possible: the process that decodes its file is killed, the thread
that computes its spectrograms stops before the next one, and files that are still waiting for a thread are dropped.
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
from raygenre.audio.file_type import HEAD_BYTES, Kind, detect
from raygenre.inputs.kind import Song
from raygenre.inputs.levels import LEVELS
from serve.admission.limits import Limits
from serve.errors import RefusalError
from serve.inference.decoder_process import UNEXPECTED_ERROR, CrashError, DecoderProcess
from serve.monitoring import logs
from serve.monitoring.metrics import Metrics

T = TypeVar("T")

_CAUSED_BY_FILE = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL", UNEXPECTED_ERROR)  # crash causes


class _ClientDisconnectedError(Exception):
    """The request has ended: its client disconnected, or its time limit was reached."""


class _Job:
    """A job that processes one file, and the process that decodes the file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._has_ended = False
        self._process: DecoderProcess | None = None

    def check(self) -> None:
        """Check that the request still needs the result.

        Raises:
            _ClientDisconnectedError: the request has ended.
        """
        if self._has_ended:
            raise _ClientDisconnectedError

    def assign(self, process: DecoderProcess | None) -> None:
        """Set the process that decodes the file, or None when it has finished.

        Raises:
            _ClientDisconnectedError: the request has ended.
        """
        with self._lock:
            self._process = process
            self.check()

    def end(self) -> None:
        """Mark the request as ended, whether or not it was answered, and kill the process if it is still decoding."""
        with self._lock:
            self._has_ended = True
            if self._process:
                self._process.kill()


class DecoderPool:
    """The decoding threads and processes of one replica.

    Args:
        size: number of files decoded at the same time.
    """

    def __init__(self, size: int, metrics: Metrics, limits: Limits) -> None:
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="decode")
        self._idle: queue.SimpleQueue[DecoderProcess] = queue.SimpleQueue()
        for _ in range(size):
            self._idle.put(DecoderProcess())
        self._limits = limits
        self._metrics = metrics

    async def song(self, data: bytes) -> Song:
        """Return the network's input for a file.

        Raises:
            RefusalError: 415 or 422 if the file is unusable, 503 if the system killed the decoder.
        """
        kind = _kind(data)
        return await self._run(lambda job: self._song(data, kind, job))

    async def picture(self, data: bytes, window: int) -> tuple[bytes, int]:
        """Return one window's spectrogram as a PNG like the dataset's, and the number of windows in the file.

        Raises:
            RefusalError: 415 or 422 if the file is unusable, 503 if the system killed the decoder.
        """
        kind = _kind(data)
        return await self._run(lambda job: self._picture(data, kind, window, job))

    def close(self) -> None:
        """Wait for the threads and end the processes."""
        self._threads.shutdown()
        while not self._idle.empty():
            self._idle.get().end()

    async def _run(self, work: Callable[[_Job], T]) -> T:
        job, enqueued_at = _Job(), time.perf_counter()

        def run() -> T:
            job.check()
            self._metrics.stage("wait", time.perf_counter() - enqueued_at)
            return work(job)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, run)
        except ValueError as error:
            raise RefusalError(422, str(error)) from error
        except CrashError as error:
            self._metrics.crash(error.cause)
            logs.warning("decoder crashed", cause=error.cause)
            if error.cause in _CAUSED_BY_FILE:
                detail = f"the file crashes the decoder ({error.cause}); convert it to FLAC or MP3"
                raise RefusalError(422, detail) from error
            raise self._limits.unavailable(
                "the decoder was killed, maybe because memory ran out; retry later"
            ) from error
        except OSError as error:
            logs.error("decoder not started", error)
            raise self._limits.unavailable("no decoder could be started; retry later") from error
        finally:
            job.end()

    def _song(self, data: bytes, kind: Kind, job: _Job) -> Song:
        started = time.perf_counter()
        if kind == "png":
            song = LEVELS.of_image(data)
            self._metrics.stage("decode", time.perf_counter() - started)
            return song
        samples = self._samples(data, job)
        decoded = time.perf_counter()
        song = LEVELS.from_samples(samples, progress=job.check)
        self._metrics.stage("decode", decoded - started)
        self._metrics.stage("levels", time.perf_counter() - decoded)
        return song

    def _picture(self, data: bytes, kind: Kind, window: int, job: _Job) -> tuple[bytes, int]:
        if kind == "png":
            levels, number = spectrogram.read_png(data), 1
        else:
            windows = audio.windows(self._samples(data, job))
            number = len(windows)
            if window < number:
                samples = torch.from_numpy(windows[window].samples)
                levels = spectrogram.levels(samples, under_frame=True).numpy()
        if window >= number:
            raise ValueError(f"the file has no window {window}: it has {number} windows, numbered from 0")
        return spectrogram.write_png(levels), number

    def _samples(self, data: bytes, job: _Job) -> NDArray[np.float32]:
        process = self._idle.get_nowait()  # there is one process per thread
        try:
            process = _renew(process)
            job.assign(process)
            try:
                return process.decode(
                    data, longest_seconds=self._limits.audio_seconds, timeout_seconds=self._limits.decode_seconds
                )
            finally:
                job.assign(None)
        except _ClientDisconnectedError:
            process.end()  # `job.end` also kills it, but perhaps later
            raise
        finally:
            with suppress(OSError):  # if no process can be started now, the thread retries for the next file
                process = _renew(process)
            self._idle.put(process)


def _kind(data: bytes) -> Kind:
    try:
        return detect(data[:HEAD_BYTES])
    except audio.AudioError as error:
        status = 415 if isinstance(error, audio.FileTypeError) else 422
        raise RefusalError(status, str(error)) from error


def _renew(process: DecoderProcess) -> DecoderProcess:
    """Return the process, or a new one if it is spent, for example because the system killed it while it was idle."""
    if not process.is_spent:
        return process
    process.end()
    return DecoderProcess()
