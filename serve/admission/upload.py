"""Reads request bodies, and counts their bytes as they arrive to enforce the limits."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from serve.admission.limits import Limits
from serve.errors import RefusalError

FIELD = b"file"  # name that each part of a form must have


@dataclass(frozen=True)
class UploadedFile:
    """A file in a request.

    Attributes:
        name: the name that the client gave the file in a form; empty if there is none.
    """

    name: str
    data: bytes


class MemoryBudget:
    """Counts the bytes of all request bodies in a replica's memory."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.bytes = 0

    @contextmanager
    def reservation(self) -> Iterator["Reservation"]:
        """Yield a reservation for one body, and release it when the context ends."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self.bytes -= reservation.bytes

    def add(self, size: int) -> None:
        if self.bytes + size > self._limits.memory_bytes:
            raise self._limits.unavailable("the endpoint has no memory for more files at the moment; retry later")
        self.bytes += size


class Reservation:
    """Counts the bytes of one body."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.bytes = 0

    def add(self, size: int) -> None:
        """Reserve more bytes.

        Raises:
            RefusalError: 503 if the budget is exhausted.
        """
        self._budget.add(size)
        self.bytes += size


def is_form(request: Request) -> bool:
    """Whether the body is a multipart form; with any other content type, the body is the file itself."""
    return request.headers.get("content-type", "").strip().lower().startswith("multipart/form-data")


async def read_files(request: Request, limits: Limits, reservation: Reservation) -> list[UploadedFile]:
    """Return the file in the body, or all files of a form.

    Raises:
        RefusalError: 413, 422 or 503.
    """
    if not is_form(request):
        return [UploadedFile("", b"".join([part async for part in _parts(request, limits, reservation)]))]
    form = _Form(request.headers["content-type"], limits)
    async for part in _parts(request, limits, reservation):
        form.feed(part)
    return form.finish()


async def _parts(request: Request, limits: Limits, reservation: Reservation) -> AsyncIterator[bytes]:
    too_large = limits.too_large(f"the request is larger than the limit of {limits.body_bytes / 1e6:g} MB")
    content_length = request.headers.get("content-length", "")
    if content_length.isdigit() and int(content_length) > limits.body_bytes:
        raise too_large
    async for part in request.stream():
        if reservation.bytes + len(part) > limits.body_bytes:
            raise too_large
        reservation.add(len(part))
        yield part


class _Form:
    """An incremental parser for multipart forms that keeps the files in memory; the body limit bounds their size."""

    def __init__(self, content_type: str, limits: Limits) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= 70:  # RFC 2046
            raise RefusalError(422, "the form's content type has no boundary of 1 to 70 characters")
        self._limits = limits
        self._files: list[tuple[str, list[bytes]]] = []  # name and parts
        self._options: dict[bytes, bytes] = {}  # of the part's Content-Disposition
        self._header: list[bytes] = [b"", b""]  # field name and value
        self._is_complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._start_part,
                "on_header_field": lambda data, start, end: self._extend_header(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._extend_header(1, data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._start_file,
                "on_part_data": lambda data, start, end: self._files[-1][1].append(data[start:end]),
                "on_end": self._complete,
            },
        )

    def feed(self, part: bytes) -> None:
        try:
            self._parser.write(part)
        except FormParserError as error:
            raise RefusalError(422, f"the form is malformed: {error}") from error

    def finish(self) -> list[UploadedFile]:
        if not self._is_complete:
            raise RefusalError(422, "the form ends before its closing boundary")
        if not self._files:
            raise RefusalError(422, "the form has no part named `file`")
        return [UploadedFile(name, b"".join(parts)) for name, parts in self._files]

    def _start_part(self) -> None:
        self._options = {}
        self._header = [b"", b""]

    def _extend_header(self, side: int, data: bytes) -> None:
        self._header[side] += data

    def _end_header(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._options = parse_options_header(self._header[1])[1]
        self._header = [b"", b""]

    def _start_file(self) -> None:
        if self._options.get(b"name") != FIELD:
            raise RefusalError(422, "a part of the form is not named `file`")
        if len(self._files) == self._limits.form_files:
            raise self._limits.too_large(f"the form has more files than the limit of {self._limits.form_files}")
        self._files.append((self._options.get(b"filename", b"").decode(errors="replace"), []))

    def _complete(self) -> None:
        self._is_complete = True
