"""The time limit for an answer, which grows with the duration of the audio."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve.admission.limits import AUDIO_SPEED, FEATURES_SPEED, Limits
from serve.errors import RefusalError

BYTES_PER_SECOND = 40_000  # size of 1 s of a 320 kbit/s MP3; used to estimate a body's duration before it is decoded


class Deadline:
    """The time by which a request must be answered.

    Until the duration of the audio is known, it is estimated from the size of the body. A request with a long file
    therefore has enough time to wait for other requests. Separate limits apply while the body is read; see
    `serve.admission.upload_pace`.
    """

    def __init__(self, limits: Limits, *, body_bytes: int = 0) -> None:
        self._limits = limits
        self._timeout: asyncio.Timeout | None = None
        self._estimate = min(body_bytes / BYTES_PER_SECOND, limits.audio_seconds)  # s of audio
        self._decoded = 0.0  # s of audio
        self._speed = AUDIO_SPEED
        self._started = asyncio.get_running_loop().time()

    @property
    def seconds(self) -> float:
        """The time limit in seconds."""
        return self._limits.answer_seconds(max(self._estimate, self._decoded), speed=self._speed)

    @property
    def remaining(self) -> float:
        """The time left, in seconds; 0 if the deadline has passed."""
        return max(0.0, self._started + self.seconds - asyncio.get_running_loop().time())

    @property
    def end_of_reading(self) -> float:
        """The time, on the event loop's clock, by which a client must have read a streamed answer.

        This allows twice the time limit for the answer.
        """
        return self._started + 2 * self.seconds

    def expect_features(self) -> None:
        """Extend the limit for audio that a pretrained network processes; call this before the work starts."""
        self._speed = FEATURES_SPEED

    def add_audio(self, seconds: float) -> None:
        """Extend the limit for audio that has been decoded."""
        self._decoded += seconds
        if self._timeout and not self._timeout.expired():
            self._timeout.reschedule(self._started + self.seconds)

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Enforce the time limit within this context.

        Raises:
            RefusalError: 503 if the deadline, including any extensions, has passed.
        """
        try:
            async with asyncio.timeout_at(self._started + self.seconds) as self._timeout:
                try:
                    yield
                finally:
                    expired, self._timeout = self._timeout, None
        except TimeoutError as error:
            if not expired.expired():
                raise
            raise self.late() from error

    def late(self) -> RefusalError:
        """Return the 503 for an answer that is not ready by the deadline."""
        return self._limits.late(self.seconds)
