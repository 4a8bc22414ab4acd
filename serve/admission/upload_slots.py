"""Bodies on their way in: how many at a time, and which of them makes room.

A body takes a place in the replica for as long as its client takes to send it. Those who send slowly, or never end,
shall not take them all: where too many come in, the one that has been coming longest is refused. So whoever sends at
once is heard, and there is room for probes and pages.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve.errors import RefusalError

MOST = 24  # of the places that a replica has beside its predictions, see MARGIN in app.py


class UploadSlots:
    """The bodies that come in to a replica, the one that has been coming longest first."""

    def __init__(self, most: int, retry_after: int) -> None:
        self._most = most
        self._headers = {"Retry-After": str(retry_after), "Connection": "close"}  # or the proxy would take in the rest
        self._coming: dict[asyncio.Timeout, None] = {}

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Count a body while it comes in.

        Raises:
            RefusalError: 429, it has made room for another.
        """
        if len(self._coming) >= self._most:
            longest = next(iter(self._coming))
            del self._coming[longest]
            longest.reschedule(0)  # long ago
        place = asyncio.timeout(None)
        try:
            async with place:
                self._coming[place] = None
                try:
                    yield
                finally:
                    self._coming.pop(place, None)
        except TimeoutError as error:
            if not place.expired():
                raise
            raise RefusalError(429, "too many bodies come in, and this one slowly; try again", self._headers) from error
