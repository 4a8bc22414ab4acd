"""Limits the concurrent uploads to a replica by refusing the longest-running upload.

An upload occupies a slot in the replica until its client has sent all of it. When all slots are occupied and another
upload arrives, the longest-running upload is refused with 429, so slow clients cannot block fast clients, probes or
pages.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve.admission.limits import Limits


class UploadSlots:
    """The uploads that one replica is receiving, longest-running first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._uploads: dict[asyncio.Timeout, None] = {}  # in order of arrival

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Occupy a slot for the duration of an upload.

        Raises:
            RefusalError: 429 if this is the longest-running upload when another upload needs a slot.
        """
        if len(self._uploads) >= self._limits.uploads:
            longest_running = next(iter(self._uploads))
            del self._uploads[longest_running]
            longest_running.reschedule(0)  # a time in the past, so the timeout expires now
        upload = asyncio.timeout(None)
        try:
            async with upload:
                self._uploads[upload] = None
                try:
                    yield
                finally:
                    self._uploads.pop(upload, None)
        except TimeoutError as error:
            if not upload.expired():
                raise
            detail = "too many uploads in progress, and this one was the slowest; retry later"
            raise self._limits.too_many(detail, close=True) from error
