"""The sync client."""

import time
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Self, TypeVar

import httpx

from raygenre.client.answers import Answer, ModelFacts, TagAnswer, Window
from raygenre.client.async_client import AsyncClient, FileOutcome
from raygenre.client.background import iterate_in_thread
from raygenre.client.body import File
from raygenre.client.core import TIMEOUT, Call, Core, Outcome, Steps, Wait, build
from raygenre.client.errors import failure
from raygenre.client.jobs import Job
from raygenre.client.lines import LineReader
from raygenre.client.retries import Retries

T = TypeVar("T")


class Client:
    """A client for one endpoint, usable from any number of threads. Close the client, or use it in a `with` statement.

    All methods that send a request raise the same errors:
        RefusedError: the endpoint refused the request, for example with 415 or 422 for a file that is not music.
        UnreachableError: no attempt could connect to the endpoint.
        NoAnswerError: the connection failed at each attempt, or no data could be sent or received for `timeout` s.
        UnexpectedAnswerError: the response does not conform to the endpoint's API.
        FileAccessError: the file cannot be read.

    Args:
        url: address of the endpoint, such as http://localhost:8000.
        api_key: API key, if the endpoint requires one.
        timeout: a request fails if no data can be sent or received for this many seconds. There is no limit on
            the duration of the whole upload.
        retries: how often and when a request is sent again.

    Raises:
        AddressError: the address is unusable.
    """

    def __init__(
        self, url: str, *, api_key: str = "", timeout: float = TIMEOUT, retries: Retries | None = None
    ) -> None:
        self._settings = (url, api_key, timeout, retries)
        self._core = core = Core(url, api_key=api_key, timeout=timeout, retries=retries or Retries())
        self._http = httpx.Client(
            base_url=core.url, headers=core.headers, timeout=core.timeout, trust_env=core.trusts_environment
        )

    def predict(self, file: File) -> Answer:
        """Return the genre of a song or spectrogram PNG, given its path or its content."""
        return self._take(self._core.predict(file))

    def predict_many(self, files: Iterable[File], *, at_once: int = 4) -> Generator[tuple[int, FileOutcome], None]:
        """Send several files concurrently, each in its own request, and yield (index, answer or error) as they finish.

        The requests are made in a separate thread, which also iterates over `files`. Closing the generator cancels the
        requests immediately.

        Args:
            at_once: number of concurrent requests.

        Raises:
            ValueError: `at_once` is less than 1.
        """
        url, api_key, timeout, retries = self._settings
        client = AsyncClient(url, api_key=api_key, timeout=timeout, retries=retries)
        yield from iterate_in_thread(client.predict_many(files, at_once=at_once), client.close)

    def stream(self, file: File) -> Generator[Window | Answer, None]:
        """Yield the windows of a song as soon as each is classified, and finally the complete answer.

        An endpoint that does not stream sends all windows together. A request is not retried once its first windows
        have been yielded.
        """
        response = self._take(self._core.stream(file))
        reader = LineReader(self._core)
        try:
            if response.is_closed:
                yield from reader.whole(response.content)
                return
            for chunk in response.iter_bytes():
                yield from reader.feed(chunk)
            yield from reader.finish()
        except httpx.TransportError as error:
            raise failure(self._core.server, error, attempts=1) from error
        finally:
            response.close()

    def spectrogram(self, file: File, window: int = 0) -> bytes:
        """Return the spectrogram of a 30 s window as a GTZAN-style PNG; windows are numbered as in an `Answer`."""
        return self._take(self._core.spectrogram(file, window))

    def tags(self, file: File) -> TagAnswer:
        """Return the tags (not genres) that the endpoint's pretrained network predicts for a song."""
        return self._take(self._core.tags(file))

    def create_job(self, file: File, *, callback: str = "") -> Job:
        """Send a song to be classified later, for example because it is long, and return the job.

        If the connection fails before the answer arrives, the song is sent again, which may create two jobs.

        Args:
            callback: HTTPS URL to which the endpoint sends the finished job; the endpoint's operator
                specifies the allowed hosts.
        """
        return self._take(self._core.create_job(file, callback))

    def job(self, job_id: str) -> Job:
        """Return a job, with its result once it has finished."""
        return self._take(self._core.job(job_id))

    def wait_for_job(self, job_id: str) -> Job:
        """Wait until a job has finished, without a time limit, and return it."""
        return self._take(self._core.finished_job(job_id))

    def delete_job(self, job_id: str) -> None:
        """Delete a job and its result; if the job is running, it is stopped."""
        self._take(self._core.delete_job(job_id))

    def model(self) -> ModelFacts:
        """Return facts about the model being served."""
        return self._take(self._core.model())

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, steps: Steps[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                outcome = None
            else:
                outcome = self._send(step)

    def _send(self, call: Call) -> httpx.Response | httpx.TransportError:
        try:
            response = self._http.send(build(self._http, call), stream=True)
            try:
                if not call.is_open(response):
                    response.read()
            except BaseException:
                response.close()
                raise
        except httpx.TransportError as error:
            return error
        return response
