"""Streamed responses: one JSON object per line, first the windows and then the answer.

The endpoint sends `application/x-ndjson`. Each line but the last is a window, with the fields of `Window`; the last one
is the complete answer, with the fields of `Answer`. The answer may omit `windows`, which have already been sent. An
error that occurs after the first line is sent as the last line, with the fields of a problem (`status` and `detail`),
since the response's own status has already been sent.
"""

import json
from collections.abc import Iterator

from pydantic import ValidationError

from raygenre.client.answers import Answer, Problem, Window
from raygenre.client.core import Core
from raygenre.client.errors import NoAnswerError, NoModelError, UnexpectedAnswerError


class LineReader:
    """Reads the lines of one response from chunks of bytes."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._rest = b""
        self._windows: list[Window] = []
        self._is_complete = False

    def feed(self, chunk: bytes) -> Iterator[Window | Answer]:
        """Yield the contents of the lines that this chunk completes.

        Raises:
            RefusedError: a line reports an error.
            UnexpectedAnswerError: a line is of an unknown kind, or follows the answer.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")  # JSON contains no line break, but may contain U+2028
        for line in lines:
            if line.strip():
                yield self._read(line)

    def finish(self) -> Iterator[Window | Answer]:
        """Yield the content of the last line if it does not end with a line break.

        Raises:
            NoAnswerError: the answer is missing.
        """
        yield from self.feed(b"\n")
        if not self._is_complete:
            raise NoAnswerError(f"{self._core.server} closed the connection before the response was complete")

    def whole(self, content: bytes) -> Iterator[Window | Answer]:
        """Yield the windows and the answer in the response of an endpoint that does not stream."""
        answer = self._core.read(Answer, content)
        yield from answer.windows
        yield answer

    def _read(self, line: bytes) -> Window | Answer:
        try:
            fields = json.loads(line)
            if not isinstance(fields, dict) or self._is_complete:
                raise ValueError(line)
            if "detail" in fields:
                raise self._core.refusal(Problem.model_validate(fields))
            if "number" in fields:
                self._windows.append(Window.model_validate(fields))
                return self._windows[-1]
            answer = Answer.model_validate({"windows": tuple(self._windows)} | fields)
        except (ValueError, ValidationError) as error:
            if isinstance(no_model := self._core.unexpected(line), NoModelError):
                raise no_model from error
            text = line[:200].decode(errors="replace")
            problem = f"sent a line that is not a valid response: {text!r}"
            raise UnexpectedAnswerError(f"{self._core.server} {problem}") from error
        self._is_complete = True
        return answer
