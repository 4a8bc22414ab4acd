"""A real HTTP server that sends scripted responses, for client tests."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """A scripted response: status, headers, and the chunks of the body.

    Attributes:
        is_cut: whether the connection is closed before the body is complete.
        before: function to call before each chunk is sent.
    """

    status: int = 200
    chunks: Sequence[bytes] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    is_cut: bool = False
    before: Callable[[], object] = bool


HANG_UP = Reply(0)  # closes the connection without a response


@dataclass
class ScriptedServer:
    """A running server.

    Attributes:
        url: address of the server.
        requests: (method, path, headers, body) of each request so far.
        most_at_once: highest number of concurrent requests.
    """

    url: str
    replies: list[Reply]
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def scripted(*replies: Reply) -> Iterator[ScriptedServer]:
    """Run a server that sends these replies, one per request, and then repeats the last one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            with state.lock:
                state.at_once += 1
                state.most_at_once = max(state.most_at_once, state.at_once)
            try:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with state.lock:
                    state.requests.append((self.command, self.path, dict(self.headers), body))
                    reply = state.replies.pop(0) if len(state.replies) > 1 else state.replies[0]
                if reply.status:
                    self.send(reply)
                else:
                    self.close_connection = True
            finally:
                with state.lock:
                    state.at_once -= 1

        def send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status == 204:
                self.end_headers()
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in reply.chunks:
                reply.before()
                self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                self.wfile.flush()
            if reply.is_cut:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # some tests disconnect the client on purpose

    server = Server(("127.0.0.1", 0), Handler)
    state = ScriptedServer(f"http://127.0.0.1:{server.server_port}", list(replies))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
