"""A port on which replicas answer by themselves, without Ray's proxy in between, which costs more than an answer.

All replicas of a machine listen on the same port, and the system gives each new connection to one of them. A replica
that ends takes no new ones, and answers what it has. Ray Serve does not see these requests: they count for no
autoscaling, and what is too much is refused by the replicas alone.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raygenre.errors import RaygenreError

KEPT_ALIVE = 90  # s that a connection may be silent between two requests, as with Ray's proxy
LAST_CONNECTIONS = 0.1  # s for accepting those that were made before the replica ended
LAST_WORDS = 1  # s for requests on connections that were made before the replica ended
LONGEST_END = 15  # s for what is under way then; Ray gives all of it 20


class DirectPortError(RaygenreError, OSError):
    """The replica cannot listen on the port; the message says why."""


def listener(host: str, port: int) -> socket.socket:
    """Take a port, which other replicas may take as well; nothing is answered on it yet.

    Raises:
        DirectPortError: another program has it, or there is no such address.
    """
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise DirectPortError(f"RAYGENRE_DIRECT_PORT cannot be listened on at {host}:{port}: {error}") from error
    return taken


@asynccontextmanager
async def answering(app: ASGIApp, taken: socket.socket) -> AsyncIterator[None]:
    """Answer on a port that was taken while the context lasts, in the running event loop."""
    server = _Server(
        uvicorn.Config(
            _Named(app),
            lifespan="off",  # the application's own has begun: this is part of it
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=KEPT_ALIVE,
            timeout_graceful_shutdown=LONGEST_END,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[taken]))
    try:
        yield
    finally:
        # Closing resets connections that were made and not accepted yet: so first no more are made, but for one.
        taken.listen(0)
        await asyncio.sleep(LAST_CONNECTIONS)
        for each in server.servers:
            each.close()  # nobody connects any more; uvicorn itself would close what has connected and is silent yet
        await asyncio.sleep(LAST_WORDS)
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """uvicorn in a process whose signals are Ray's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


class _Named:
    """ASGI middleware: puts the request's id onto the answer, as Ray's proxy does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = scope["state"]["request_id"]
            await send(message)

        await self._app(scope, receive, answer if scope["type"] == "http" else send)
