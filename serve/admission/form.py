"""An incremental parser for multipart forms that contain files."""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serve.admission.bodies import Incoming, Reservation
from serve.admission.limits import Limits
from serve.admission.uploaded_file import UploadedFile
from serve.errors import RefusalError

FIELD = b"file"  # required name of each part of a form


class Form:
    """A form that is being received."""

    def __init__(self, content_type: str, limits: Limits, reservation: Reservation) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= 70:  # RFC 2046
            raise RefusalError(422, "the form's content type has no boundary of 1 to 70 characters")
        self._limits = limits
        self._reservation = reservation
        self._files: list[tuple[str, Incoming]] = []  # name and content
        self._parsed: list[tuple[Incoming, bytes]] = []  # parts of files that have been parsed but not stored yet
        self._options: dict[bytes, bytes] = {}  # parameters of the part's Content-Disposition
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
                "on_part_data": lambda data, start, end: self._parsed.append((self._files[-1][1], data[start:end])),
                "on_end": self._complete,
            },
        )

    async def feed(self, part: bytes) -> None:
        """Parse and store the next part of the body.

        Raises:
            RefusalError: 413, 422 or 503.
        """
        try:
            self._parser.write(part)
        except FormParserError as error:
            raise RefusalError(422, f"the form is malformed: {error}") from error
        parsed, self._parsed = self._parsed, []
        for file, data in parsed:
            await file.append(data)

    async def finish(self) -> list[UploadedFile]:
        """Return the files.

        Raises:
            RefusalError: 422 or 503.
        """
        if not self._is_complete:
            raise RefusalError(422, "the form ends before its closing boundary")
        if not self._files:
            raise RefusalError(422, "the form has no part named `file`")
        return [UploadedFile(name, await file.finish()) for name, file in self._files]

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
            limit = f"{self._limits.form_files} (RAYGENRE_MOST_FILES)"
            raise self._limits.too_large(f"the form has more files than the limit of {limit}; send several forms")
        name = self._options.get(b"filename", b"").decode(errors="replace")
        self._files.append((name, Incoming(self._reservation)))

    def _complete(self) -> None:
        self._is_complete = True
