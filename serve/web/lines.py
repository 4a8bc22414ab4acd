"""Answers as lines of JSON: one line per window, then the whole answer.

A client that accepts lines (`application/x-ndjson`) receives each line as soon as its window has been classified. An
error before the first line results in an ordinary error response. A later error becomes the last line, with the fields
of a problem, because the status has already been sent.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Self

from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from serve.errors import RefusalError, problem
from serve.monitoring import logs
from serve.schema import Answer
from serve.stream import Piece, Stream
from serve.web import outcomes

MEDIA_TYPE = "application/x-ndjson"


def accepts_lines(request: Request) -> bool:
    """Return whether the client's `Accept` header prefers lines to a JSON object."""
    qualities = {"application/json": 0.0, MEDIA_TYPE: 0.0}
    for entry in request.headers.get("accept", "").lower().split(","):
        media_type, *parameters = (part.strip() for part in entry.split(";"))
        if media_type in qualities:
            qualities[media_type] = _quality(parameters)
    return qualities[MEDIA_TYPE] > 0 and qualities[MEDIA_TYPE] >= qualities["application/json"]


class LineResponse(StreamingResponse):
    """A response that sends the pieces of a stream as lines.

    Args:
        first: the first piece, which is already available.
        request: the request, whose id, path and log fields are used.
    """

    def __init__(self, stream: Stream, first: Piece, request: Request) -> None:
        self._stream, self._first, self._request = stream, first, request
        self._is_complete = False
        # nginx would otherwise buffer the lines.
        super().__init__(self._lines(), media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})

    @classmethod
    async def of(cls, stream: Stream, request: Request) -> Self:
        """Wait for the first piece, and return the response that starts with it.

        Raises:
            RefusalError, Exception: the first piece failed; see `Stream.next`.
        """
        try:
            return cls(stream, await stream.next(), request)
        except BaseException as error:
            await stream.close()
            if isinstance(error, RefusalError):
                request.state.facts.update(outcomes.log_fields([error]))
            raise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines.

        Raises:
            ClientDisconnect: the client disconnected, or reads too slowly.
        """

        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout_at(self._stream.deadline.end_of_reading):
                    await send(message)
            except TimeoutError as error:
                raise ClientDisconnect from error

        try:
            await super().__call__(scope, receive, send_in_time)
        finally:
            await self._stream.close()
        if not self._is_complete:
            raise ClientDisconnect

    async def _lines(self) -> AsyncIterator[str | bytes]:
        state, piece = self._request.state, self._first
        try:
            while not isinstance(piece, Answer):
                yield piece.model_dump_json(exclude_none=True) + "\n"
                piece = await self._stream.next()
            yield piece.model_dump_json() + "\n"
            state.facts.update(outcomes.log_fields([piece]))
        except RefusalError as error:
            state.facts.update(outcomes.log_fields([error]))
            yield self._problem(error)
        except Exception as error:  # noqa: BLE001 (the status has been sent, so the error is the last line)
            logs.error("request failed", error, request_id=state.request_id)
            yield self._problem(RefusalError(500, "internal error; the log has a traceback for this request id"))
        self._is_complete = True

    def _problem(self, error: RefusalError) -> bytes:
        request = self._request
        return (
            bytes(problem(error.status, error.detail, request.state.request_id, path=request.scope["path"]).body)
            + b"\n"
        )


def _quality(parameters: list[str]) -> float:
    """Return the parameter `q` of a media range; 1 if it is missing, 0 if it is not a number."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
