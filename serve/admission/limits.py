"""Settings for the endpoint's limits, and `Limits`, which is derived from these settings.

Replicas, Ray's proxies and the deployment's options all use `Limits`, so raising `RAYGENRE_QUEUE_LENGTH` also raises
all limits that apply before the queue. Ray's proxies import this module, so it must avoid heavy imports. These settings
are therefore separate from those in `serve.settings`, which imports PyTorch and MLflow.
"""

from dataclasses import dataclass
from typing import Self

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from serve.errors import RefusalError

UPLOADS = 24  # uploads that a replica receives at the same time
OTHER_REQUESTS = 8  # requests in a replica that are neither predictions nor uploads: probes, pages and refusals
PROXY_QUEUE = 32  # requests that wait in a proxy for a free slot in a replica, including while a new head starts
IN_TRANSIT = 16  # requests in a proxy that are on their way to or from a replica
MIN_PROXY_REQUESTS = 96  # lower bound of a proxy's POST limit: a proxy may serve several replicas with short queues
SLOW_UPLOAD_SECONDS = 5.0  # seconds after which an upload no longer counts towards a proxy's limit
AUDIO_SPEED = 20.0  # seconds of audio that add 1 s to the time limit; a slow core classifies 100 s of audio in 1 s
FEATURES_SPEED = 10.0  # the same for pretrained features; a slow core processes 40 s of audio in 1 s
DECODER_GRACE = 5.0  # seconds from a request's timeout until its decoder process terminates itself
WAY_OUT = "use `raygenre predict` on your own machine, which has no limit"
_CLOSE = {"Connection": "close"}  # otherwise Ray's proxy would read the whole body


class LimitSettings(BaseSettings):
    """The settings that limit the size, duration and number of requests."""

    model_config = SettingsConfigDict(env_prefix="RAYGENRE_", extra="forbid", frozen=True)

    most_bytes: int = Field(
        default=350_000_000,
        gt=0,
        description="Maximum size of a request body in bytes, after decompression; larger bodies get 413. The default "
        "is enough for half an hour in CD quality.",
    )
    most_held_bytes: int = Field(
        default=250_000_000,
        gt=0,
        description="Maximum total size, in bytes, of the bodies in a replica's memory; requests beyond it get 503. "
        "A file that makes a body larger than 4 MB is stored on disk.",
    )
    most_stored_bytes: int = Field(
        default=4_000_000_000,
        gt=0,
        description="Maximum total size, in bytes, of the bodies that a replica stores on disk; requests beyond it get "
        "503.",
    )
    most_seconds: float = Field(
        default=1800, gt=0, description="Maximum duration of an audio file in seconds; longer files get 422."
    )
    most_files: int = Field(
        default=8, gt=0, description="Maximum number of files in a multipart form; forms with more files get 413."
    )
    upload_rate: float = Field(
        default=20_000,
        ge=0,
        description="Minimum speed of an upload in bytes per second; slower ones get 408 after "
        "`RAYGENRE_STALL_SECONDS`.",
    )
    stall_seconds: float = Field(
        default=10, gt=0, description="Seconds over which the minimum speed of an upload is measured."
    )
    upload_seconds: float = Field(
        default=3600, gt=0, description="Time limit for an upload in seconds, however fast it is; then 408."
    )
    request_seconds: float = Field(
        default=30,
        gt=0,
        description="Time limit for an answer in seconds, from the end of the upload; then 503. Every 20 s of audio "
        "adds 1 s, or every 10 s if a pretrained network computes the model's input.",
    )
    queue_length: int = Field(
        default=32,
        gt=0,
        description="Maximum number of predictions running or waiting in a replica; further requests get 429.",
    )
    retry_after: int = Field(
        default=2, ge=0, description="Value of the Retry-After header in 429 and 503 responses, in seconds."
    )
    jobs: bool = Field(default=True, description="Accept jobs at `/v1/jobs`.")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """All limits of the endpoint; the response status for requests that exceed a limit is given in parentheses.

    Attributes:
        predictions: maximum number of predictions running or waiting in a replica (429).
        uploads: maximum number of uploads that a replica receives at the same time (429 for the slowest one).
        replica_requests: maximum number of requests of any kind that Ray lets a replica handle at the same time.
        proxy_queue: maximum number of requests that wait in a proxy for a free slot in a replica (429).
        proxy_requests: maximum number of POST requests in a proxy, from the first byte to the answer (429).
        slow_upload_seconds: seconds after which an upload no longer counts towards `proxy_requests`.
        body_bytes: maximum size of a request body (413).
        form_files: maximum number of files in a multipart form (413).
        memory_bytes: maximum total size of the bodies in a replica's memory (503).
        disk_bytes: maximum total size of the bodies that a replica stores on disk (503).
        audio_seconds: maximum duration of an audio file, in s (422).
        upload_rate: minimum speed of an upload, in bytes per s (408).
        stall_seconds: time over which this speed is measured, in s.
        upload_seconds: time limit for an upload, in s (408).
        request_seconds: time limit for an answer without audio, in s (503); see `answer_seconds`.
        decode_seconds: seconds after which a decoder process terminates itself; no request waits longer.
        retry_after: value of every Retry-After header, in s.
        accepts_jobs: whether longer audio can be sent as a job.
    """

    predictions: int
    uploads: int
    replica_requests: int
    proxy_queue: int
    proxy_requests: int
    slow_upload_seconds: float
    body_bytes: int
    form_files: int
    memory_bytes: int
    disk_bytes: int
    audio_seconds: float
    upload_rate: float
    stall_seconds: float
    upload_seconds: float
    request_seconds: float
    decode_seconds: float
    retry_after: int
    accepts_jobs: bool

    @classmethod
    def of(cls, settings: LimitSettings) -> Self:
        """Derive all limits from the settings."""
        replica_requests = settings.queue_length + UPLOADS + OTHER_REQUESTS
        return cls(
            predictions=settings.queue_length,
            uploads=UPLOADS,
            replica_requests=replica_requests,
            proxy_queue=PROXY_QUEUE,
            proxy_requests=max(MIN_PROXY_REQUESTS, replica_requests + PROXY_QUEUE + IN_TRANSIT),
            slow_upload_seconds=SLOW_UPLOAD_SECONDS,
            body_bytes=settings.most_bytes,
            form_files=settings.most_files,
            memory_bytes=settings.most_held_bytes,
            disk_bytes=settings.most_stored_bytes,
            audio_seconds=settings.most_seconds,
            upload_rate=settings.upload_rate,
            stall_seconds=settings.stall_seconds,
            upload_seconds=settings.upload_seconds,
            request_seconds=settings.request_seconds,
            decode_seconds=settings.request_seconds + settings.most_seconds / FEATURES_SPEED + DECODER_GRACE,
            retry_after=settings.retry_after,
            accepts_jobs=settings.jobs,
        )

    def answer_seconds(self, audio: float, *, speed: float = AUDIO_SPEED) -> float:
        """Return the time limit, in seconds, for answering a request that contains `audio` seconds of audio.

        Args:
            speed: number of seconds of audio that add one second to the time limit.
        """
        return self.request_seconds + audio / speed

    def too_many(self, detail: str, *, close: bool = False) -> RefusalError:
        """Return a 429 with Retry-After; use `close` to close the connection if the body was not read completely."""
        return RefusalError(429, detail, self._retry_headers | (_CLOSE if close else {}))

    def unavailable(self, detail: str) -> RefusalError:
        """Return a 503 with Retry-After."""
        return RefusalError(503, detail, self._retry_headers)

    def late(self, seconds: float) -> RefusalError:
        """Return the 503 for an answer that is not ready within its time limit."""
        return self.unavailable(
            f"the response was not ready within {seconds:.3g} s (RAYGENRE_REQUEST_SECONDS); retry later, or {WAY_OUT}"
        )

    def body_too_large(self) -> RefusalError:
        """Return the 413 for a body beyond the size limit."""
        limit = f"{self.body_bytes / 1e6:g} MB (RAYGENRE_MOST_BYTES)"
        return self.too_large(f"the request is larger than the limit of {limit}; send an MP3, {self._way_out}")

    def audio_too_long(self) -> RefusalError:
        """Return the 422 for audio that is too long."""
        limit = f"{self.audio_seconds:g} s (RAYGENRE_MOST_SECONDS)"
        return RefusalError(422, f"the audio is longer than the limit of {limit}; split it into parts, {self._way_out}")

    def upload_too_slow(self) -> RefusalError:
        """Return the 408 for an upload below the minimum speed."""
        limit = f"{self.upload_rate / 1000:g} kB/s over {self.stall_seconds:g} s (RAYGENRE_UPLOAD_RATE)"
        return RefusalError(408, f"the body arrived at less than {limit}; send it again, or {WAY_OUT}", _CLOSE)

    def upload_too_long(self) -> RefusalError:
        """Return the 408 for an upload that takes too long even though it meets the minimum speed."""
        limit = f"{self.upload_seconds:g} s (RAYGENRE_UPLOAD_SECONDS)"
        return RefusalError(408, f"the body did not arrive within {limit}; send a smaller file, or {WAY_OUT}", _CLOSE)

    @staticmethod
    def too_large(detail: str) -> RefusalError:
        """Return a 413 that closes the connection, because the body was not read completely."""
        return RefusalError(413, detail, _CLOSE)

    @property
    def _way_out(self) -> str:
        return f"{'send it to /v1/jobs, ' if self.accepts_jobs else ''}or {WAY_OUT}"

    @property
    def _retry_headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}
