"""A port on which replicas answer directly, without Ray's proxy, which uses more CPU than the answer itself.

All replicas on a machine listen on the same port, and the kernel distributes new connections among them. A replica that
stops accepts no new connections and finishes the requests it has. Ray Serve does not see these requests: they do not
count for autoscaling, and only the replicas' own limits apply.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raygenre.errors import RaygenreError

KEEP_ALIVE_SECONDS = 90  # s that an idle connection stays open, as in Ray's proxy
ACCEPT_SECONDS = 0.1  # s for accepting connections that were made before the replica stopped
REQUEST_SECONDS = 1  # s for requests on such connections to arrive
SHUTDOWN_SECONDS = 15  # s for finishing requests after that; Ray allows 20 s for all of it


class DirectPortError(RaygenreError, OSError):
    """The replica cannot listen on the direct port; the message says why."""


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to a port that other replicas may bind as well; it does not listen yet.

    Raises:
        DirectPortError: another program uses the port, or the address does not exist.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        fix = "set RAYGENRE_DIRECT_PORT to a free port, or to 0 for none"
        raise DirectPortError(f"cannot listen on {host}:{port}: {error.strerror}; {fix}") from error
    return bound


@asynccontextmanager
async def answering(app: ASGIApp, bound: socket.socket) -> AsyncIterator[None]:
    """Answer on a bound socket for the duration of the context, in the running event loop."""
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
        # Closing the socket resets connections in its backlog. So first shrink the backlog, then accept what is in it.
        bound.listen(0)
        await asyncio.sleep(ACCEPT_SECONDS)
        for listening in server.servers:
            listening.close()  # no new connections; uvicorn itself would also close those that have sent nothing yet
        await asyncio.sleep(REQUEST_SECONDS)
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """A uvicorn server in a process whose signals Ray handles."""

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
