"""Notifies clients that their job has finished, by sending a POST request to their URL.

The endpoint contacts only hosts that the operator has listed, over HTTPS and at public addresses. Otherwise, a name
that resolves to a private address could give access to servers behind the firewall. The connection is made to the
address that was checked, so it does not matter if the name later resolves to another address. Redirects are not
followed.
"""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Set
from urllib.parse import SplitResult, urlsplit

from raygenre.errors import RaygenreError

MAX_URL_CHARACTERS = 2000
TIMEOUT = 10.0  # s for each step: connecting, sending, receiving
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses in IPv6 form; they may be private


class CallbackError(RaygenreError):
    """A callback is not allowed, or was not delivered; the message states the reason."""


def check_url(url: str, hosts: Set[str]) -> SplitResult:
    """Return the parts of a URL, after checking that callbacks to it are allowed.

    Args:
        hosts: names of the allowed hosts, in lower case.

    Raises:
        CallbackError: the URL is not allowed.
    """
    if not hosts:
        raise CallbackError("this endpoint sends no callbacks (RAYGENRE_CALLBACK_HOSTS); poll the job instead")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise CallbackError(f"the callback is not a URL: {error}") from error
    is_plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= MAX_URL_CHARACTERS
    if parts.scheme != "https" or parts.username is not None or parts.fragment or not is_plain:
        raise CallbackError("the callback must be a URL like https://HOST/PATH, without a password or a fragment")
    if host not in hosts:
        raise CallbackError("the host of the callback is not in this endpoint's list (RAYGENRE_CALLBACK_HOSTS)")
    return parts


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.sixtofour or ip.teredo or ip in _TRANSLATED:
            return False
        ip = ip.ipv4_mapped or ip
    return ip.is_global and not ip.is_multicast


def send(
    url: str,
    body: bytes,
    hosts: Set[str],
    *,
    is_allowed: Callable[[str], bool] = is_public,
    context: ssl.SSLContext | None = None,
) -> None:
    """POST a JSON body to a URL.

    Args:
        hosts: see `check_url`.
        is_allowed: function that returns whether an IP address may be contacted.
        context: determines which certificates are trusted; by default, those that the system trusts.

    Raises:
        CallbackError: the URL is not allowed, or the host did not respond with a status from 200 to 299.
    """
    parts = check_url(url, hosts)
    host, port = str(parts.hostname), parts.port or 443
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(address[4][0]) for address in found]
        if not all(map(is_allowed, addresses)):
            raise CallbackError(f"{host} has an address that is not public")
        connection = _PinnedConnection(host, port, addresses[0], context or ssl.create_default_context())
        try:
            connection.request("POST", target, body, {"Content-Type": "application/json", "User-Agent": "raygenre"})
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise CallbackError(f"{host} cannot be notified: {error}") from error
    if not 200 <= status < 300:
        raise CallbackError(f"{host} responded with {status}")


class _PinnedConnection(http.client.HTTPSConnection):
    """An HTTPS connection to an already resolved address; the certificate must match the host name."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=TIMEOUT, context=context)
        self._address = address
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), self.timeout)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
