"""Settings for the endpoint's limits, and `Limits`, which is derived from these settings.

Replicas, Ray's proxies and the deployment's options all use `Limits`, so raising `RAYGENRE_QUEUE_LENGTH` also raises
all limits in front of the queue. These settings are separate from the others because Ray's proxies import this module,
which must therefore avoid heavy imports (`serve.settings` imports PyTorch and MLflow).
"""

from dataclasses import dataclass
from typing import Self

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from serve.errors import RefusalError

UPLOADS = 24  # uploads that a replica receives at the same time
OTHER_REQUESTS = 8  # requests in a replica that are neither predictions nor uploads: probes, pages and refusals
PROXY_QUEUE = 32  # requests that wait in a proxy for a free slot in a replica, also while a new head starts
IN_TRANSIT = 16  # requests in a proxy that are on their way to or from a replica
MIN_PROXY_REQUESTS = 96  # lower bound of a proxy's POST limit: a proxy may serve several replicas with short queues
SLOW_UPLOAD_SECONDS = 5.0  # s after which an upload no longer counts towards a proxy's limit
DECODER_GRACE = 5.0  # s from the timeout of a request until its decoder process kills itself
_CLOSE = {"Connection": "close"}  # otherwise Ray's proxy would read the body to its end


class LimitSettings(BaseSettings):
    """The settings that limit the size, duration and number of requests."""

    model_config = SettingsConfigDict(env_prefix="RAYGENRE_", extra="forbid", frozen=True)

    most_bytes: int = Field(
        default=25_000_000, gt=0, description="Maximum size of a request body in bytes; larger bodies get 413."
    )
    most_held_bytes: int = Field(
        default=250_000_000,
        gt=0,
        description="Maximum total size, in bytes, of the bodies in a replica's memory; requests beyond it get 503.",
    )
    most_seconds: float = Field(
        default=900, gt=0, description="Maximum duration of an audio file in seconds; longer files get 422."
    )
    most_files: int = Field(
        default=8, gt=0, description="Maximum number of files in a multipart form; forms with more files get 413."
    )
    request_seconds: float = Field(
        default=30,
        gt=0,
        description="Time limit for a request in seconds: 408 if the body is still incomplete, 503 if the answer is "
        "not ready.",
    )
    queue_length: int = Field(
        default=32,
        gt=0,
        description="Maximum number of predictions running or waiting in a replica; further requests get 429.",
    )
    retry_after: int = Field(
        default=2, ge=0, description="Value of the Retry-After header in 429 and 503 responses, in seconds."
    )


@dataclass(frozen=True, kw_only=True)
class Limits:
    """All limits of the endpoint; the status of a request that exceeds a limit is in parentheses.

    Attributes:
        predictions: maximum number of predictions running or waiting in a replica (429).
        uploads: maximum number of uploads that a replica receives at the same time (429 for the longest-running one).
        replica_requests: maximum number of requests of any kind that Ray lets a replica handle at the same time.
        proxy_queue: maximum number of requests that wait in a proxy for a free slot in a replica (429).
        proxy_requests: maximum number of POST requests in a proxy, from the first byte to the answer (429).
        slow_upload_seconds: s after which an upload no longer counts towards `proxy_requests`.
        body_bytes: maximum size of a request body (413).
        form_files: maximum number of files in a multipart form (413).
        memory_bytes: maximum total size of the bodies in a replica's memory (503).
        audio_seconds: maximum duration of an audio file, in s (422).
        request_seconds: time limit for a request, in s (408 or 503).
        decode_seconds: s after which a decoder process kills itself.
        retry_after: value of every Retry-After header, in s.
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
    audio_seconds: float
    request_seconds: float
    decode_seconds: float
    retry_after: int

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
            audio_seconds=settings.most_seconds,
            request_seconds=settings.request_seconds,
            decode_seconds=settings.request_seconds + DECODER_GRACE,
            retry_after=settings.retry_after,
        )

    def too_many(self, detail: str, *, close: bool = False) -> RefusalError:
        """Return a 429 with Retry-After; use `close` to close the connection if the body was not read completely."""
        return RefusalError(429, detail, self._retry_headers | (_CLOSE if close else {}))

    def unavailable(self, detail: str) -> RefusalError:
        """Return a 503 with Retry-After."""
        return RefusalError(503, detail, self._retry_headers)

    def late(self) -> RefusalError:
        """Return the 503 for an answer that is not ready at the time limit."""
        return self.unavailable(f"the answer was not ready within {self.request_seconds:g} s")

    @staticmethod
    def too_large(detail: str) -> RefusalError:
        """Return a 413 that closes the connection, because the body was not read completely."""
        return RefusalError(413, detail, _CLOSE)

    @property
    def _retry_headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}
