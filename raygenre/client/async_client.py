"""The async client, for asyncio."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from types import TracebackType
from typing import Self, TypeVar

import httpx

from raygenre.client.answers import Answer, ModelFacts, TagAnswer, Window
from raygenre.client.body import File
from raygenre.client.core import TIMEOUT, Call, Core, Outcome, Steps, Wait, build
from raygenre.client.errors import ClientError, failure
from raygenre.client.jobs import Job
from raygenre.client.lines import LineReader
from raygenre.client.retries import Retries
from raygenre.errors import FileAccessError

T = TypeVar("T")
FileOutcome = Answer | ClientError | FileAccessError
"""The answer for one of several files, or the error if there is none."""


class AsyncClient:
    """`Client` for asyncio, with the same arguments, methods and errors.

    Close the client, or use it in `async with`.
    """

    def __init__(
        self, url: str, *, api_key: str = "", timeout: float = TIMEOUT, retries: Retries | None = None
    ) -> None:
        self._core = core = Core(url, api_key=api_key, timeout=timeout, retries=retries or Retries())
        self._http = httpx.AsyncClient(
            base_url=core.url, headers=core.headers, timeout=core.timeout, trust_env=core.trusts_environment
        )

    async def predict(self, file: File) -> Answer:
        """Return the genre of a song or spectrogram PNG, given its path or its content."""
        return await self._take(self._core.predict(file))

    async def predict_many(
        self, files: Iterable[File], *, at_once: int = 4
    ) -> AsyncGenerator[tuple[int, FileOutcome], None]:
        """Send several files concurrently, each in its own request, and yield (index, answer or error) as they finish.

        Close the generator to cancel the remaining requests, for example with `contextlib.aclosing`.

        Args:
            at_once: number of concurrent requests.

        Raises:
            ValueError: `at_once` is less than 1.
        """
        if at_once < 1:
            raise ValueError(f"at_once must be at least 1, not {at_once}")
        waiting = enumerate(files)
        running: dict[asyncio.Task[FileOutcome], int] = {}
        try:
            while True:
                while len(running) < at_once and (item := next(waiting, None)):
                    running[asyncio.create_task(self._outcome(item[1]))] = item[0]
                if not running:
                    return
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield running.pop(task), task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def stream(self, file: File) -> AsyncGenerator[Window | Answer, None]:
        """Yield the windows of a song as soon as each is classified, and finally the complete answer.

        An endpoint that does not stream sends all windows together. A request is not retried once its first windows
        have been yielded.
        """
        response = await self._take(self._core.stream(file))
        reader = LineReader(self._core)
        try:
            if response.is_closed:
                for part in reader.whole(response.content):
                    yield part
                return
            async for chunk in response.aiter_bytes():
                for part in reader.feed(chunk):
                    yield part
            for part in reader.finish():
                yield part
        except httpx.TransportError as error:
            raise failure(self._core.server, error, attempts=1) from error
        finally:
            await response.aclose()

    async def spectrogram(self, file: File, window: int = 0) -> bytes:
        """Return the spectrogram of a 30 s window as a GTZAN-style PNG; windows are numbered as in an `Answer`."""
        return await self._take(self._core.spectrogram(file, window))

    async def tags(self, file: File) -> TagAnswer:
        """Return the tags (not genres) that the endpoint's pretrained network predicts for a song."""
        return await self._take(self._core.tags(file))

    async def create_job(self, file: File, *, callback: str = "") -> Job:
        """Send a song to be classified later, for example because it is long, and return the job.

        If the connection fails before the answer arrives, the song is sent again, which may create two jobs.

        Args:
            callback: HTTPS URL to which the endpoint sends the finished job; the endpoint's operator
                specifies the allowed hosts.
        """
        return await self._take(self._core.create_job(file, callback))

    async def job(self, job_id: str) -> Job:
        """Return a job, with its result once it has finished."""
        return await self._take(self._core.job(job_id))

    async def wait_for_job(self, job_id: str) -> Job:
        """Wait until a job has finished, without a time limit, and return it."""
        return await self._take(self._core.finished_job(job_id))

    async def delete_job(self, job_id: str) -> None:
        """Delete a job and its result; if the job is running, it is stopped."""
        await self._take(self._core.delete_job(job_id))

    async def model(self) -> ModelFacts:
        """Return facts about the model being served."""
        return await self._take(self._core.model())

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _outcome(self, file: File) -> FileOutcome:
        try:
            return await self.predict(file)
        except (ClientError, FileAccessError) as error:
            return error

    async def _take(self, steps: Steps[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                outcome = None
            else:
                outcome = await self._send(step)

    async def _send(self, call: Call) -> httpx.Response | httpx.TransportError:
        try:
            response = await self._http.send(build(self._http, call), stream=True)
            try:
                if not call.is_open(response):
                    await response.aread()
            except BaseException:
                await response.aclose()
                raise
        except httpx.TransportError as error:
            return error
        return response
