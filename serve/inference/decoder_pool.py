"""Decodes files outside the event loop, and computes a model's input for them.

Threads decode PNGs and compute the model's input; processes decode audio.

Work for a request that has ended stops as soon as possible. The process that decodes its file is killed, the thread
that computes its input stops before the next window, and files that are still waiting for a thread are dropped.
"""

import asyncio
import os
import queue
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, nullcontext, suppress
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre import audio, spectrogram
from raygenre.audio.file_type import HEAD_BYTES, Kind, detect
from raygenre.inputs.kind import InputKind, Song
from raygenre.inputs.levels import LEVELS
from raygenre.spectrogram.image import MAX_PNG_BYTES
from serve.admission.bodies import Content, size_of, start_of
from serve.admission.limits import Limits
from serve.errors import RefusalError
from serve.inference.decoder_process import UNEXPECTED_ERROR, CrashError, DecoderProcess
from serve.inference.decoding_job import ClientDisconnectedError, DecodingJob, OnAudio
from serve.inference.reader import OnPart, PartReader, Reader
from serve.inference.window_picture import window_levels
from serve.monitoring import logs
from serve.monitoring.metrics import Metrics

T = TypeVar("T")

LARGE = 64_000_000  # bytes; a CD-quality song is smaller, and larger files take seconds to decode

_CAUSED_BY_FILE = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL", UNEXPECTED_ERROR)  # crash causes


class DecoderPool:
    """The decoding threads and processes of one replica.

    Args:
        size: number of files decoded at the same time.
    """

    def __init__(self, size: int, metrics: Metrics, limits: Limits) -> None:
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="decode", initializer=_use_one_core)
        self._idle: queue.SimpleQueue[DecoderProcess] = queue.SimpleQueue()
        for _ in range(size):
            self._idle.put(DecoderProcess())
        # One thread is reserved for small files, so that ordinary songs do not have to wait for a few large files.
        self._large = asyncio.Semaphore(max(1, size - 1))
        self._limits = limits
        self._metrics = metrics

    async def song(
        self,
        data: Content,
        on_audio: OnAudio = lambda seconds: None,
        kind: InputKind = LEVELS,
        on_part: OnPart | None = None,
    ) -> Song:
        """Return the model input of the given kind for a file.

        Args:
            on_audio: see `read`.
            on_part: function to call, in the event loop, with each part of the song as soon as it is computed.

        Raises:
            RefusalError: see `read`.
        """
        if on_part is None:
            return await self.read(data, kind, on_audio)
        soon = asyncio.get_running_loop().call_soon_threadsafe
        return await self.read(data, PartReader(kind, lambda part: soon(on_part, part)), on_audio)

    async def read(self, data: Content, reader: Reader[T], on_audio: OnAudio = lambda seconds: None) -> T:
        """Return the result that a reader computes from a file.

        Args:
            on_audio: function to call, in the event loop, with the duration, in s, of each decoded piece of audio.

        Raises:
            RefusalError: 415 or 422 if the file is unusable, 503 if the system killed the decoder.
        """
        is_image = _type(data) == "png"
        return await self._run(lambda job: self._read(data, reader, job, is_image=is_image), data, on_audio)

    async def picture(
        self, data: Content, window: int, on_audio: OnAudio = lambda seconds: None, kind: InputKind = LEVELS
    ) -> tuple[bytes, int]:
        """Return the spectrogram of one window as a PNG in the dataset's format, and the number of windows.

        Args:
            on_audio: see `read`.

        Raises:
            RefusalError: 415 or 422 if the file is unusable, 503 if the system killed the decoder.
        """
        is_image = _type(data) == "png"
        return await self._run(lambda job: self._picture(data, kind, window, job, is_image=is_image), data, on_audio)

    def close(self) -> None:
        """Wait for the threads to finish, then end the processes."""
        self._threads.shutdown()
        while not self._idle.empty():
            self._idle.get().end()

    async def _run(self, work: Callable[[DecodingJob], T], data: Content, on_audio: OnAudio) -> T:
        loop, enqueued_at = asyncio.get_running_loop(), time.perf_counter()
        job = DecodingJob(lambda seconds: loop.call_soon_threadsafe(on_audio, seconds))

        def run() -> T:
            job.check()
            self._metrics.stage("wait", time.perf_counter() - enqueued_at)
            return work(job)

        try:
            async with self._large if size_of(data) > LARGE else nullcontext():
                return await loop.run_in_executor(self._threads, run)
        except audio.TooLongError as error:
            raise self._limits.audio_too_long() from error
        except ValueError as error:
            raise RefusalError(422, str(error)) from error
        except CrashError as error:
            self._metrics.crash(error.cause)
            logs.warning("decoder crashed", cause=error.cause)
            if error.cause in _CAUSED_BY_FILE:
                detail = f"the file crashes the decoder ({error.cause}); convert it to FLAC or MP3"
                raise RefusalError(422, detail) from error
            raise self._limits.unavailable(
                "the decoder was killed, possibly because memory ran out; retry later"
            ) from error
        except OSError as error:
            logs.error("decoder not started", error)
            raise self._limits.unavailable("no decoder could be started; retry later") from error
        finally:
            job.end()

    def _read(self, data: Content, reader: Reader[T], job: DecodingJob, *, is_image: bool) -> T:
        started = time.perf_counter()
        if is_image:
            result = reader.of_image(start_of(data, MAX_PNG_BYTES + 1))
            self._metrics.stage("decode", time.perf_counter() - started)
            return result
        decoding = 0.0

        def timed(blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
            nonlocal decoding
            asked = time.perf_counter()
            for block in blocks:
                decoding += time.perf_counter() - asked
                yield block
                asked = time.perf_counter()
            decoding += time.perf_counter() - asked

        with closing(self._blocks(data, reader.sample_rate, job)) as blocks:
            result = reader.from_blocks(timed(blocks), progress=job.check)
        self._metrics.stage("decode", decoding)
        self._metrics.stage(reader.name, time.perf_counter() - started - decoding)
        return result

    def _picture(
        self, data: Content, kind: InputKind, window: int, job: DecodingJob, *, is_image: bool
    ) -> tuple[bytes, int]:
        if is_image:
            if window:
                raise ValueError(f"an image has no window {window}: its only window is number 0")
            return spectrogram.write_png(spectrogram.read_png(start_of(data, MAX_PNG_BYTES + 1))), 1
        with closing(self._blocks(data, audio.SAMPLE_RATE, job)) as blocks:
            levels, number = window_levels(blocks, kind, window)
        return spectrogram.write_png(levels), number

    def _blocks(self, data: Content, rate: int, job: DecodingJob) -> Generator[NDArray[np.float32], None, None]:
        """Decode audio in a process, block by block."""
        process = self._idle.get_nowait()  # each thread has one process
        try:
            process = _renew(process)
            job.assign(process)
            with ExitStack() as opened:
                opened.callback(job.assign, None)
                file = data if isinstance(data, bytes) else data.duplicate()
                if isinstance(file, int):
                    opened.callback(os.close, file)
                blocks = process.decode(
                    file,
                    rate=rate,
                    longest_seconds=self._limits.audio_seconds,
                    timeout_seconds=self._limits.decode_seconds,
                )
                for block in opened.enter_context(closing(blocks)):
                    job.on_audio(len(block) / rate)
                    yield block
        except ClientDisconnectedError:
            process.end()  # `job.end` also kills the process, but possibly later
            raise
        finally:
            with suppress(OSError):  # if no process can be started now, the thread tries again for the next file
                process = _renew(process)
            self._idle.put(process)


def _use_one_core() -> None:
    """Make torch use one core in this thread, because decoder processes need the other cores."""
    torch.get_num_threads()  # torch's first call in a thread applies the number of cores last set in any thread
    torch.set_num_threads(1)


def _type(data: Content) -> Kind:
    try:
        return detect(start_of(data, HEAD_BYTES))
    except audio.AudioError as error:
        status = 415 if isinstance(error, audio.FileTypeError) else 422
        raise RefusalError(status, str(error)) from error


def _renew(process: DecoderProcess) -> DecoderProcess:
    """Return the process, or a new one if it cannot be reused, for example because the system killed it."""
    if not process.is_spent:
        return process
    process.end()
    return DecoderProcess()
