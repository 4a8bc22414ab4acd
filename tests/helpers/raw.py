"""Requests as bytes on a socket, in pieces and with pauses, as no client's library would send them."""

import http.client
import select
import socket
from dataclasses import dataclass

from tests.helpers.load import LOST

PATIENCE = 60  # s without a byte of the answer, after which it is taken for missing


@dataclass(frozen=True)
class Sent:
    """One request.

    Attributes:
        pieces: of the request line, headers and body, as they go out.
        pause: s between two pieces.
        leaves: whether the client goes without waiting for the answer.
        method: whose answer this is, for a HEAD's has no body.
    """

    pieces: tuple[bytes, ...]
    pause: float = 0.0
    leaves: bool = False
    method: str = "POST"


def head(method: str, path: str, *fields: bytes) -> bytes:
    """A request line and header fields, to which Host is added."""
    return b"\r\n".join((f"{method} {path} HTTP/1.1".encode("latin-1"), b"Host: here", *fields, b"", b""))


def plain(method: str, path: str, body: bytes, *fields: bytes) -> Sent:
    """A request as it should be."""
    return Sent((head(method, path, *fields, b"Content-Length: %d" % len(body)) + body,), method=method)


def chunk(data: bytes) -> bytes:
    """A chunk of a body; of no data, the end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def send(port: int, sent: Sent) -> tuple[int, bytes]:
    """Send a request until the answer begins to come; return its status and content.

    The status is `LOST` where the connection ends without an answer.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for place, piece in enumerate(sent.pieces):
                if place and select.select([connection], [], [], sent.pause)[0]:
                    break
                connection.sendall(piece)
        except ConnectionError:
            pass  # the answer may be there all the same
        if sent.leaves:
            return LOST, b""
        response = http.client.HTTPResponse(connection, method=sent.method)
        try:
            response.begin()
            return response.status, response.read()
        except (ConnectionError, http.client.HTTPException):
            return LOST, b""
        finally:
            response.close()
