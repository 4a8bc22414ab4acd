"""Which callback URLs are allowed, and how callbacks are sent."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from serve.jobs.callback import CallbackError, check_url, is_public, send

HOSTS = {"example.com", "localhost"}


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com/#part",
        "https://example.com/ä",
        "https://example.com/a b",
        "https://example.com/\r\nX-A: b",
        "https://example.com:99999/",
        "https://[::1/",
        "https://other.example.com/",
        "https://example.com.evil.org/",
        "https://example.com@evil.org/",
        "https://127.0.0.1/",
        "example.com",
        "https:///path",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(CallbackError):
        check_url(url, HOSTS)


def test_a_listed_host_is_allowed() -> None:
    assert check_url("https://Example.com:8443/a?b=c", HOSTS).hostname == "example.com"


def test_without_a_list_there_are_no_callbacks() -> None:
    with pytest.raises(CallbackError, match="RAYGENRE_CALLBACK_HOSTS"):
        check_url("https://example.com/", frozenset())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001:0:1::1",
    ],
)
def test_private_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_a_listed_name_with_a_private_address_is_not_contacted() -> None:
    with pytest.raises(CallbackError, match="localhost has an address that is not public"):
        send("https://localhost:1/", b"{}", HOSTS)


class Receiver(BaseHTTPRequestHandler):
    """Records requests, and responds to each with the status that its path specifies."""

    received: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        self.received.append((self.headers["Host"], self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(int(self.path.strip("/")))
        self.send_header("Location", "https://example.com/")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost"
    command += f" -addext subjectAltName=DNS:localhost -keyout {file} -out {file}.crt"
    subprocess.run(command.split(), check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@pytest.fixture
def server(certificate: Path) -> Iterator[HTTPServer]:
    Receiver.received = []
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def call(server: HTTPServer, certificate: Path | None, status: int) -> None:
    context = ssl.create_default_context(cafile=str(certificate)) if certificate else None
    url = f"https://localhost:{server.server_port}/{status}"
    send(url, b'{"a": 1}', HOSTS, is_allowed=lambda address: address in ("127.0.0.1", "::1"), context=context)


def test_a_callback_is_posted_to_the_address_that_was_checked(server: HTTPServer, certificate: Path) -> None:
    call(server, certificate, 204)
    assert Receiver.received == [(f"localhost:{server.server_port}", b'{"a": 1}')]


@pytest.mark.parametrize("status", [302, 500])
def test_redirects_and_errors_are_failures(server: HTTPServer, certificate: Path, status: int) -> None:
    with pytest.raises(CallbackError, match=f"localhost responded with {status}"):
        call(server, certificate, status)
    assert len(Receiver.received) == 1


def test_an_unknown_certificate_is_refused(server: HTTPServer) -> None:
    with pytest.raises(CallbackError, match="CERTIFICATE_VERIFY_FAILED"):
        call(server, None, 200)
    assert not Receiver.received
