"""The endpoint's limits: their settings, and `Limits`, which derives all other numbers.

Replicas, Ray's proxies and the deployment's options all read `Limits`, so that raising `RAYGENRE_QUEUE_LENGTH` raises
everything in front of the queue as well. The settings are separate from the other settings because Ray's proxies import
this module: it must stay small (`serve.settings` imports PyTorch and MLflow).
"""

from dataclasses import dataclass
from typing import Self

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from serve.errors import RefusalError

UPLOADS = 24  # uploads that a replica receives at a time
OTHER_REQUESTS = 8  # requests in a replica that are neither predictions nor uploads: probes, pages and refusals
PROXY_QUEUE = 16  # requests that wait in a proxy for a free place in a replica
IN_TRANSIT = 16  # requests in a proxy that are on their way to or from a replica
SLOW_UPLOAD_SECONDS = 5.0  # s after which an upload no longer counts towards a proxy's limit
DECODER_GRACE = 5.0  # s that a decoder process may run after its request has timed out, before it kills itself
_CLOSE = {"Connection": "close"}  # otherwise Ray's proxy would receive the rest of the body


class LimitSettings(BaseSettings):
    """The settings that limit what clients may send and how many of them are served at a time."""

    model_config = SettingsConfigDict(env_prefix="RAYGENRE_", extra="forbid", frozen=True)

    most_bytes: int = Field(default=25_000_000, gt=0, description="Maximum size of a request body in bytes; else 413.")
    most_held_bytes: int = Field(
        default=250_000_000,
        gt=0,
        description="Maximum total size, in bytes, of the bodies in a replica's memory; else 503.",
    )
    most_seconds: float = Field(default=900, gt=0, description="Maximum duration of an audio file in s; else 422.")
    most_files: int = Field(default=8, gt=0, description="Maximum number of files in a multipart form; else 413.")
    request_seconds: float = Field(
        default=30,
        gt=0,
        description="Time limit of a request in s: 408 if the body is incomplete by then, 503 if the answer is not "
        "ready.",
    )
    queue_length: int = Field(
        default=32, gt=0, description="Maximum number of predictions running or waiting in a replica; else 429."
    )
    retry_after: int = Field(default=2, ge=0, description="Value of the Retry-After header of 429 and 503, in s.")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Every limit of the endpoint.

    Attributes:
        predictions: predictions running or waiting in a replica; 429 beyond.
        uploads: uploads that a replica receives at a time; 429 for the longest-running one beyond.
        replica_requests: requests that Ray sends to a replica at a time, of any kind.
        proxy_queue: requests that wait in a proxy for a free place in a replica; 429 beyond.
        proxy_requests: POST requests in a proxy, from the first byte to the answer; 429 beyond.
        slow_upload_seconds: s after which an upload no longer counts towards `proxy_requests`.
        body_bytes: size of a request body; 413 beyond.
        form_files: files in a multipart form; 413 beyond.
        memory_bytes: total size of the bodies in a replica's memory; 503 beyond.
        audio_seconds: duration of an audio file, in s; 422 beyond.
        request_seconds: s for a request; 408 or 503 beyond.
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
            proxy_requests=replica_requests + PROXY_QUEUE + IN_TRANSIT,
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
        """Return a 429 with Retry-After; `close` also ends the connection, for a body that was not read to its end."""
        return RefusalError(429, detail, self._retry_headers | (_CLOSE if close else {}))

    def unavailable(self, detail: str) -> RefusalError:
        """Return a 503 with Retry-After."""
        return RefusalError(503, detail, self._retry_headers)

    @staticmethod
    def too_large(detail: str) -> RefusalError:
        """Return a 413 that ends the connection, since the body was not read to its end."""
        return RefusalError(413, detail, _CLOSE)

    @property
    def _retry_headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}
