"""Limits the concurrent uploads to a replica by refusing the slowest upload.

An upload occupies a slot in the replica until its client has sent the whole body. When all slots are occupied and
another upload arrives, the slowest upload is refused with 429, so slow clients cannot block fast clients, probes or
pages. A large file on a fast connection is not refused merely because of its size.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve.admission.limits import Limits

_JUDGED_AFTER = 1.0  # seconds after which the speed of an upload is considered known


class Upload:
    """An upload in progress.

    Attributes:
        bytes: number of bytes received so far.
        timeout: ends the upload when its slot is given to another upload.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self.timeout = asyncio.timeout(None)
        self._started = asyncio.get_running_loop().time()

    @property
    def rank(self) -> tuple[bool, float]:
        """Sort key; the upload with the lowest key is refused first.

        Uploads of known speed come first, starting with the slowest. The others follow, starting with the oldest.
        """
        seconds = asyncio.get_running_loop().time() - self._started
        return (True, -seconds) if seconds < _JUDGED_AFTER else (False, self.bytes / seconds)


class UploadSlots:
    """The uploads in progress at one replica."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._uploads: set[Upload] = set()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Upload]:
        """Occupy a slot for the duration of an upload.

        Raises:
            RefusalError: 429 if another upload needs a slot and this upload is the slowest.
        """
        if len(self._uploads) >= self._limits.uploads:
            slowest = min(self._uploads, key=lambda upload: upload.rank)
            self._uploads.remove(slowest)
            slowest.timeout.reschedule(0)  # a time in the past, so the timeout expires now
        upload = Upload()
        try:
            async with upload.timeout:
                self._uploads.add(upload)
                try:
                    yield upload
                finally:
                    self._uploads.discard(upload)
        except TimeoutError as error:
            if not upload.timeout.expired():
                raise
            detail = "too many uploads in progress, and this one was the slowest; retry later"
            raise self._limits.too_many(detail, close=True) from error
