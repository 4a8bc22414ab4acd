"""The first use of a tracking server, and access to one while the environment sets a proxy."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from raygenre.system.storage import Storage
from raygenre.tracking.retries import no_retries
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import TrackingError, meaning, reason
from tests.helpers.mlflow_server import free_port
from tests.helpers.project import ROOT

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

UNUSED = """
import os, sys
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
before = dict(os.environ)
Server(resolve(sys.argv[1]))
assert dict(os.environ) == before
assert not {"mlflow", "requests"} & {*sys.modules}
"""


class Answer(BaseHTTPRequestHandler):
    """Responds to every request as MLflow responds to a request for the experiment."""

    def do_GET(self) -> None:
        content = json.dumps({"experiment": {"experiment_id": "7", "name": "raygenre"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class Server6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


class Forbidding(Answer):
    """A proxy that rejects every request with its own error page."""

    def do_GET(self) -> None:
        self.send_error(403)


@pytest.fixture(autouse=True)
def proxy(monkeypatch: pytest.MonkeyPatch) -> str:
    """Set HTTP_PROXY to a proxy on a closed port, and return the proxy's address."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that monkeypatch restores what the code under test changes
        monkeypatch.setenv(name.upper(), "")
        monkeypatch.delenv(name)
    address = f"http://singer:s3cret@127.0.0.1:{free_port()}"
    monkeypatch.setenv("HTTP_PROXY", address)
    return address


@pytest.fixture(params=["127.0.0.1", "localhost", "127.8.9.10", "[::1]"])
def loopback(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of a server on a loopback address."""
    host = request.param
    try:
        server = (Server6 if ":" in host else ThreadingHTTPServer)((host.strip("[]"), 0), Answer)
    except OSError:
        pytest.skip(f"this machine has no address {host}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{host}:{server.server_port}"
    server.shutdown()
    server.server_close()


def error(uri: str, tmp_path: Path) -> BaseException:
    with pytest.raises(TrackingError) as raised, no_retries():
        Server(Storage(tmp_path, uri)).experiment_id  # noqa: B018
    return raised.value


def test_a_server_that_is_not_used_does_nothing(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", UNUSED, str(tmp_path / "results")], cwd=ROOT, check=True, timeout=60)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_loopback_addresses_never_use_a_proxy(
    loopback: str, variable: str, proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HTTP_PROXY")
    monkeypatch.setenv(variable, proxy)
    with no_retries():
        assert Server(Storage(tmp_path, loopback)).experiment_id == "7"


def test_errors_of_other_hosts_name_the_proxy(tmp_path: Path) -> None:
    unreachable = error("http://mlflow.example.org:5000", tmp_path)
    assert meaning(unreachable) == "unreachable"
    text = reason(unreachable)
    assert "connection refused, through the proxy in HTTP_PROXY (http://***@127.0.0.1:" in text
    assert "to connect directly, add mlflow.example.org to NO_PROXY" in text


def test_page_of_a_proxy_is_not_mistaken_for_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Forbidding) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_port}")
        text = reason(error("http://mlflow.example.org:5000", tmp_path))
        server.shutdown()
    assert "the proxy in HTTP_PROXY may have sent this response" in text


def test_errors_without_a_proxy_name_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "mlflow.invalid")
    assert reason(error("http://mlflow.invalid:5000", tmp_path)) == "cannot resolve the host name"
    assert reason(error(f"http://127.0.0.1:{free_port()}", tmp_path)) == "connection refused"
