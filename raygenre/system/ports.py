"""Check that a TCP port is free before a server is started, or choose a free one."""

import errno
import socket

from raygenre.errors import RaygenreError


class PortError(RaygenreError, OSError):
    """A server cannot listen on an address; the message explains why."""


def check_port(host: str, port: int, remedy: str = "choose another with --port") -> None:
    """Check that a server can listen on a port.

    Args:
        host: a name or an address of this machine.
        remedy: what to do if the port is in use.

    Raises:
        PortError: the port is in use or reserved, or the host is not this machine.
    """
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore the connections of a stopped server
            listener.bind(address)
            listener.listen()
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise PortError(f"{host} is not an address of this machine") from error
        reason = "it is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise PortError(f"port {port} on {host} cannot be used: {reason}; {remedy}") from error


def free_port() -> int:
    """Return a TCP port that no server on 127.0.0.1 uses at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
