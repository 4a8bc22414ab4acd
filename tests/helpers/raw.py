"""Send requests as raw bytes on a socket, in pieces and with pauses, unlike HTTP clients."""

import http.client
import select
import socket
from dataclasses import dataclass

from tests.helpers.load import LOST

TIMEOUT = 60  # s without a byte of the response


@dataclass(frozen=True)
class RawRequest:
    """A request as raw bytes.

    Attributes:
        pieces: the request line, headers and body, split into the pieces that are sent one after another.
        pause: time between pieces, in s.
        disconnects: whether the client disconnects without waiting for the response.
        method: HTTP method; the response to a HEAD request has no body.
    """

    pieces: tuple[bytes, ...]
    pause: float = 0.0
    disconnects: bool = False
    method: str = "POST"


def head(method: str, path: str, *fields: bytes) -> bytes:
    """Return a request line and header fields, including Host."""
    return b"\r\n".join((f"{method} {path} HTTP/1.1".encode("latin-1"), b"Host: here", *fields, b"", b""))


def plain(method: str, path: str, body: bytes, *fields: bytes) -> RawRequest:
    """Return a well-formed request."""
    return RawRequest((head(method, path, *fields, b"Content-Length: %d" % len(body)) + body,), method=method)


def chunk(data: bytes) -> bytes:
    """Return a chunk of a body; a chunk without data is the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def send(port: int, sent: RawRequest) -> tuple[int, bytes]:
    """Send a request, stopping when the response starts; return the response's status and content.

    The status is `LOST` if the connection ends without a response.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for place, piece in enumerate(sent.pieces):
                if place and select.select([connection], [], [], sent.pause)[0]:
                    break
                connection.sendall(piece)
        except ConnectionError:
            pass  # a response may have arrived anyway
        if sent.disconnects:
            return LOST, b""
        response = http.client.HTTPResponse(connection, method=sent.method)
        try:
            response.begin()
            return response.status, response.read()
        except (ConnectionError, http.client.HTTPException):
            return LOST, b""
        finally:
            response.close()
