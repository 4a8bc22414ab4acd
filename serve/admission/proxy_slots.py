"""Limits the POST requests in a Ray proxy, and refuses the rest before reading their bodies.

Refused requests get 429. Ray itself refuses a request only after forwarding part of it. Such a refusal costs as much
CPU time as an answer. A slow upload occupies a slot only for its first few seconds, so slow clients cannot occupy all
slots; `upload_slots` limits slow uploads in the replicas.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serve.admission.limits import Limits


class ProxySlots:
    """The unanswered POST requests in one proxy."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._occupied = 0

    @property
    def is_full(self) -> bool:
        return self._occupied >= self._limits.proxy_requests

    @contextmanager
    def slot(self) -> Iterator[Callable[[], None]]:
        """Occupy a slot until the request is answered, or until its upload turns out to be slow.

        Yields:
            A function to call once the whole body has arrived; the slot is then held until the answer is sent.
        """
        self._occupied += 1
        is_occupied = True

        def release() -> None:
            nonlocal is_occupied
            self._occupied -= is_occupied
            is_occupied = False

        release_slow_upload = asyncio.get_running_loop().call_later(self._limits.slow_upload_seconds, release)
        try:
            yield release_slow_upload.cancel
        finally:
            release_slow_upload.cancel()
            release()
