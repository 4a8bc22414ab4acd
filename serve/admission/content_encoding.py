"""Decompresses request bodies with `Content-Encoding: gzip`.

The data is decompressed piece by piece, so a decompression bomb is refused as soon as it reaches the size limit.
"""

import zlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from serve.errors import RefusalError

PIECE = 1 << 20  # bytes to decompress at a time; each piece blocks the event loop for a few ms
_GZIP = 16 + zlib.MAX_WBITS  # tells zlib to expect gzip's header and checksum


def is_compressed(request: Request) -> bool:
    """Return whether the body is compressed with gzip.

    Raises:
        RefusalError: 415 if the body has any other encoding.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return True
    if encoding in ("", "identity"):
        return False
    detail = "the body's Content-Encoding is not supported; send the body uncompressed or compressed with gzip"
    raise RefusalError(415, detail, {"Accept-Encoding": "gzip, identity", "Connection": "close"})


async def decompressed(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Decompress a gzip body in pieces of at most 1 MiB.

    Raises:
        RefusalError: 422 if the body is damaged or truncated.
    """
    member, rest, is_started = zlib.decompressobj(_GZIP), b"", False
    async for part in parts:
        rest += part
        while rest := rest if is_started else rest.lstrip(b"\0"):  # a member may be padded with zeros
            try:
                piece = member.decompress(rest, PIECE)
            except zlib.error as error:
                raise RefusalError(
                    422, "the gzip body is damaged; compress the file again, or send it uncompressed"
                ) from error
            is_started, rest = True, member.unconsumed_tail
            if piece:
                yield piece
            if member.eof:  # another member may follow
                rest, member, is_started = member.unused_data, zlib.decompressobj(_GZIP), False
    if is_started:
        raise RefusalError(422, "the gzip body is truncated; send the complete body")
