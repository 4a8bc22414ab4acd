"""Errors of the client."""

import os
import socket

import httpx

from raygenre.errors import RaygenreError


class ClientError(RaygenreError):
    """A request failed; the message explains why."""


class AddressError(ClientError, ValueError):
    """The address of the endpoint is unusable."""


class UnreachableError(ClientError, ConnectionError):
    """No connection to the endpoint could be established."""


class NoAnswerError(ClientError, ConnectionError):
    """The endpoint closed the connection before its response was complete, or did not respond in time."""


class UnexpectedAnswerError(ClientError):
    """The response does not conform to the endpoint's API."""


class NoModelError(ClientError):
    """The endpoint has no model for genres yet, and responds with the tags of a pretrained network."""


class RefusedError(ClientError):
    """The endpoint refused a request.

    Attributes:
        status: HTTP status; 415 and 422 mean that the file is unusable.
        request_id: id of the request in the endpoint's logs; empty if the endpoint's proxy refused the request.
    """

    def __init__(self, message: str, *, status: int, request_id: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id


def failure(server: str, error: httpx.TransportError, *, attempts: int) -> UnreachableError | NoAnswerError:
    """Return the error for a request that failed in transit, after the given number of attempts."""
    tried = f" ({attempts} attempts)" if attempts > 1 else ""
    if isinstance(error, httpx.ConnectTimeout):
        return UnreachableError(f"{server} is unreachable: the connection timed out{tried}; check the address")
    if isinstance(error, httpx.TimeoutException):
        return NoAnswerError(f"{server} did not respond in time{tried}; raise the client's `timeout`, or retry later")
    if isinstance(error, httpx.ConnectError):
        remedy = "check the address, or start the endpoint with `raygenre serve`"
        return UnreachableError(f"{server} is unreachable: {_reason(error)}{tried}; {remedy}")
    return NoAnswerError(f"the connection to {server} failed: {_reason(error)}{tried}; retry later")


def _reason(error: BaseException) -> str:
    """Return the operating system's reason for the last error in a chain, or else the text of the first error."""
    reason = str(error) or type(error).__name__
    link: BaseException | None = error
    while link:
        if isinstance(link, OSError) and link.strerror:
            # asyncio replaces an error's text, but keeps its number.
            reason = link.strerror if isinstance(link, socket.gaierror) or not link.errno else os.strerror(link.errno)
        # The group contains one error for each address of the host.
        attempts = link.exceptions if isinstance(link, BaseExceptionGroup) else ()
        link = attempts[0] if attempts else link.__cause__ or link.__context__
    return reason
