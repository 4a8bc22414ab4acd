"""Reads request bodies, and enforces the limits on their size and speed while they arrive."""

import re
from collections.abc import AsyncIterator

from starlette.requests import Request

from serve.admission.bodies import Incoming, Reservation
from serve.admission.content_encoding import decompressed, is_compressed
from serve.admission.form import Form
from serve.admission.limits import Limits
from serve.admission.upload_pace import paced
from serve.admission.upload_slots import Upload
from serve.admission.uploaded_file import UploadedFile
from serve.errors import RefusalError

__all__ = ["UploadedFile", "is_form", "read_files", "refuse_json"]

_JSON = re.compile(r"\s*[\w.-]+/([\w.-]+\+)?json\s*(;|$)", re.IGNORECASE)


def is_form(request: Request) -> bool:
    """Return whether the body is a multipart form; with any other content type, the body is the file itself."""
    return request.headers.get("content-type", "").strip().lower().startswith("multipart/form-data")


async def refuse_json(request: Request) -> None:
    """Refuse a JSON body, as sent by clients of other model servers, before it is read.

    Raises:
        RefusalError: 415.
    """
    if _JSON.match(request.headers.get("content-type", "")):
        detail = (
            "the body is JSON; send the file itself (curl --data-binary @song.mp3), or a form with parts named `file` "
            "(curl -F file=@song.mp3)"
        )
        accepted = {"Accept": "audio/*, image/png, multipart/form-data", "Connection": "close"}
        raise RefusalError(415, detail, accepted)


async def read_files(request: Request, limits: Limits, reservation: Reservation, upload: Upload) -> list[UploadedFile]:
    """Return the file in the body, or all files of a form.

    Args:
        upload: the upload in progress; its counter of received bytes is updated.

    Raises:
        RefusalError: 408, 413, 415, 422 or 503.
    """
    if is_form(request):
        form = Form(request.headers["content-type"], limits, reservation)
        async for part in _parts(request, limits, upload):
            await form.feed(part)
        return await form.finish()
    file = Incoming(reservation)
    async for part in _parts(request, limits, upload):
        await file.append(part)
    return [UploadedFile("", await file.finish())]


async def _parts(request: Request, limits: Limits, upload: Upload) -> AsyncIterator[bytes]:
    """Yield the decompressed parts of the body, as long as they are within the limits."""
    content_length = request.headers.get("content-length", "")
    if content_length.isdigit() and int(content_length) > limits.body_bytes:
        raise limits.body_too_large()
    received = _counted(paced(request.stream(), limits), limits, upload)
    size = 0
    async for part in decompressed(received) if is_compressed(request) else received:
        size += len(part)
        if size > limits.body_bytes:
            raise limits.body_too_large()
        yield part


async def _counted(parts: AsyncIterator[bytes], limits: Limits, upload: Upload) -> AsyncIterator[bytes]:
    async for part in parts:
        upload.bytes += len(part)
        if upload.bytes > limits.body_bytes:
            raise limits.body_too_large()
        yield part
