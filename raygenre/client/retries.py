"""The rule that determines whether and when a request is sent again."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

BUSY = frozenset({429, 502, 503})  # statuses after which a retry may succeed; 502 comes from a proxy


@dataclass(frozen=True)
class Retries:
    """How many times a request is sent, and how long to wait between attempts.

    A request is sent again if the connection fails or the status is 429, 502 or 503, but not after any other error.
    The wait doubles with each attempt. It is shortened by a random fraction of up to a half, so that clients that
    failed together do not retry together. The wait is never shorter than the response's Retry-After.

    Attributes:
        attempts: maximum number of attempts, including the first one.
        first_wait: wait before the second attempt, in s.
        longest_wait: maximum wait before an attempt, in s; if a response requests a longer wait, the request is not
            retried.
        generator: the source of random numbers.
    """

    attempts: int = 6
    first_wait: float = 0.5
    longest_wait: float = 30.0
    generator: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_wait < 0 or self.longest_wait < 0:
            raise ValueError("attempts must be at least 1, and the delays at least 0 s")

    def wait(self, attempt: int, outcome: "httpx.Response | httpx.TransportError") -> float | None:
        """Return the number of seconds to wait after an attempt that failed, or None if it was the last attempt.

        Args:
            attempt: number of the attempt, from 1.
        """
        asked = 0.0
        if isinstance(outcome, httpx.Response):
            if outcome.status_code not in BUSY:
                return None
            asked = retry_after(outcome.headers, datetime.now(UTC))
        elif not _is_connection_error(outcome):
            return None
        if attempt >= self.attempts or asked > self.longest_wait:
            return None
        backoff = min(self.first_wait * 2.0 ** (attempt - 1), self.longest_wait)
        return max(asked, backoff * self.generator.uniform(0.5, 1))


def retry_after(headers: httpx.Headers, now: datetime) -> float:
    """Return the wait, in s, that a response requests by a number or a date; 0 if it requests none."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())


def _is_connection_error(error: httpx.TransportError) -> bool:
    """Return whether the connection failed; False if the response took too long, since a retry would not be faster."""
    return isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError | httpx.ConnectTimeout)
