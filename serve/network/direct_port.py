"""A port that bypasses Ray's proxy, which uses more CPU than the answers themselves.

All replicas on a machine listen on the same port, and the kernel distributes new connections among them. A stopping
replica accepts no new connections and finishes its current requests. Ray Serve does not see requests on this port, so
they do not count towards autoscaling, and only the replicas' own limits apply.
"""

import asyncio
import ctypes
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raygenre.errors import RaygenreError

KEEP_ALIVE_SECONDS = 90  # s that an idle connection stays open, as in Ray's proxy
ACCEPT_SECONDS = 0.1  # s to accept connections that were made before the replica stopped
REQUEST_SECONDS = 1  # s to wait for requests on these connections
SHUTDOWN_SECONDS = 15  # s to finish requests after that; Ray allows 20 s in total
_SO_ATTACH_FILTER = 26  # Linux


class DirectPortError(RaygenreError, OSError):
    """The replica cannot listen on the direct port; the message says why."""


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to a port, but does not listen yet; other replicas may bind the same port.

    Raises:
        DirectPortError: another program uses the port, or the address does not exist.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        fix = "set RAYGENRE_DIRECT_PORT to a free port, or to 0 to disable it"
        raise DirectPortError(f"cannot listen on {host}:{port}: {error.strerror}; {fix}") from error
    return bound


@asynccontextmanager
async def answering(app: ASGIApp, bound: socket.socket) -> AsyncIterator[None]:
    """Use the running event loop to answer requests on a bound socket for the duration of the context."""
    server = _Server(
        uvicorn.Config(
            _RequestIdMiddleware(app),
            lifespan="off",  # this runs within the application's own lifespan
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield
    finally:
        # Closing the socket resets the connections in its backlog, so first stop new ones, then accept the backlog.
        _ignore_new_connections(bound)
        await asyncio.sleep(ACCEPT_SECONDS)
        for listening in server.servers:
            listening.close()  # uvicorn itself would also close connections whose clients have sent nothing yet
        await asyncio.sleep(REQUEST_SECONDS)
        server.should_exit = True
        await serving


def _ignore_new_connections(listening: socket.socket) -> None:
    """Make the kernel drop SYN packets to a socket; handshakes in progress still complete.

    A client whose SYN is dropped resends it after a second. By then the socket is closed, so the connection is
    either accepted by another replica or refused.
    """
    if sys.platform != "linux":
        listening.listen(0)  # the closest alternative: at most one more connection
        return
    filter_ = (_BpfInstruction * 4)(
        _BpfInstruction(0x30, 0, 0, 13),  # load the flags, which are at offset 13 of the TCP header
        _BpfInstruction(0x45, 0, 1, 0x02),  # if SYN is set, continue; otherwise skip one instruction
        _BpfInstruction(0x06, 0, 0, 0),  # drop the packet
        _BpfInstruction(0x06, 0, 0, 0xFFFF_FFFF),  # accept the whole packet
    )
    program = _BpfProgram(len(filter_), ctypes.cast(filter_, ctypes.c_void_p))
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(program))
    except OSError:  # a sandbox may forbid filters
        listening.listen(0)


class _BpfInstruction(ctypes.Structure):
    """Linux's `struct sock_filter`."""

    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _BpfProgram(ctypes.Structure):
    """Linux's `struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


class _Server(uvicorn.Server):
    """A uvicorn server for a process whose signals Ray handles."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


class _RequestIdMiddleware:
    """ASGI middleware: adds X-Request-ID to the response, as Ray's proxy does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = scope["state"]["request_id"]
            await send(message)

        await self._app(scope, receive, send_with_id if scope["type"] == "http" else send)
