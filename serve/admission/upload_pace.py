"""Ends uploads that stall or are too slow.

A time limit for the whole body would reject large files on slow connections. The speed is calculated from the time
spent waiting for the client; the time that this process needs to handle the received data does not count.
"""

import asyncio
from collections.abc import AsyncIterator

from serve.admission.limits import Limits


async def paced(parts: AsyncIterator[bytes], limits: Limits) -> AsyncIterator[bytes]:
    """Yield the parts of a body as they arrive.

    Raises:
        RefusalError: 408 if the upload is slower than the minimum speed or takes too long.
    """
    now = asyncio.get_running_loop().time
    ends = now() + limits.upload_seconds
    waited, received = 0.0, 0  # reset whenever enough bytes have arrived
    while True:
        started = now()
        stalls = started + limits.stall_seconds - waited
        try:
            async with asyncio.timeout_at(min(stalls, ends)):
                part = await anext(parts, None)
        except TimeoutError as error:
            raise (limits.upload_too_slow() if stalls < ends else limits.upload_too_long()) from error
        if part is None:
            return
        waited += now() - started
        received += len(part)
        if received >= limits.upload_rate * limits.stall_seconds:
            waited, received = 0.0, 0
        yield part
