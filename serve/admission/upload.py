"""Reading what a client sends, and no more of it than is allowed: counted as it comes, whatever it claims to be."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from serve.errors import RefusalError
from serve.settings import Settings

FIELD = b"file"  # name of a form's parts


class MemoryBudget:
    """The bytes of all bodies that a replica holds at a time."""

    def __init__(self, most: int, retry_after: int) -> None:
        self._most = most
        self._retry_after = retry_after
        self.bytes = 0

    @contextmanager
    def account(self) -> Iterator["Account"]:
        """Count one body while it is held."""
        account = Account(self)
        try:
            yield account
        finally:
            self.bytes -= account.bytes

    def add(self, size: int) -> None:
        if self.bytes + size > self._most:
            headers = {"Retry-After": str(self._retry_after)}
            raise RefusalError(503, "the endpoint holds as many files as it has memory for; try again", headers)
        self.bytes += size


class Account:
    """The bytes of one body."""

    def __init__(self, held: MemoryBudget) -> None:
        self._held = held
        self.bytes = 0

    def add(self, size: int) -> None:
        """Count more.

        Raises:
            RefusalError: 503, there is no room.
        """
        self._held.add(size)
        self.bytes += size


def is_form(request: Request) -> bool:
    """Whether the body is a multipart form; every other content type means the file itself."""
    return request.headers.get("content-type", "").strip().lower().startswith("multipart/form-data")


async def read_files(request: Request, settings: Settings, account: Account) -> list[bytes]:
    """Return the file that is the body, or the files of a form.

    Raises:
        RefusalError: 413, 422 or 503.
    """
    if not is_form(request):
        return [b"".join([part async for part in _parts(request, settings, account)])]
    form = _Form(request.headers["content-type"], settings.most_files)
    async for part in _parts(request, settings, account):
        form.feed(part)
    return form.finish()


async def _parts(request: Request, settings: Settings, account: Account) -> AsyncIterator[bytes]:
    detail = f"the request is larger than {settings.most_bytes / 1e6:g} MB, which is the limit"
    too_large = RefusalError(413, detail, {"Connection": "close"})  # or the proxy would take in the rest
    claimed = request.headers.get("content-length", "")
    if claimed.isdigit() and int(claimed) > settings.most_bytes:
        raise too_large
    async for part in request.stream():
        if account.bytes + len(part) > settings.most_bytes:
            raise too_large
        account.add(len(part))
        yield part


class _Form:
    """A multipart form as it comes in. Parts are kept in memory, which the body's limit bounds."""

    def __init__(self, content_type: str, most_files: int) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= 70:  # RFC 2046
            raise RefusalError(422, "the form's content type names no boundary of 1 to 70 characters")
        self._most_files = most_files
        self._files: list[list[bytes]] = []
        self._name = b""
        self._header: list[bytes] = [b"", b""]
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._collect(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._collect(1, data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_part_data": lambda data, start, end: self._files[-1].append(data[start:end]),
                "on_end": self._finished,
            },
        )

    def feed(self, part: bytes) -> None:
        try:
            self._parser.write(part)
        except FormParserError as error:
            raise RefusalError(422, f"the form is damaged: {error}") from error

    def finish(self) -> list[bytes]:
        if not self._complete:
            raise RefusalError(422, "the form ends before its last boundary")
        if not self._files:
            raise RefusalError(422, "the form has no part named `file`")
        return [b"".join(parts) for parts in self._files]

    def _begin(self) -> None:
        self._name = b""
        self._header = [b"", b""]

    def _collect(self, side: int, data: bytes) -> None:
        self._header[side] += data

    def _end_header(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._name = parse_options_header(self._header[1])[1].get(b"name", b"")
        self._header = [b"", b""]

    def _open(self) -> None:
        if self._name != FIELD:
            raise RefusalError(422, "a part of the form is not named `file`")
        if len(self._files) == self._most_files:
            raise RefusalError(413, f"the form has more than {self._most_files} files, which is the limit")
        self._files.append([])

    def _finished(self) -> None:
        self._complete = True
