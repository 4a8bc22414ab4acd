"""HTTP proxies from the environment: bypassed for loopback addresses, and named in errors."""

import os
from urllib.parse import urlsplit

from raygenre.system.redaction import masked

_LOOPBACK = ("localhost", "127.0.0.0/8", "127.0.0.1", "::1")  # some libraries do not support ranges
_NAMES = ("no_proxy", "NO_PROXY")
_PAGE = ("<html", "<!doctype html")


def exempt_loopback() -> None:
    """Add the loopback addresses to NO_PROXY for this process and the processes that it starts.

    Existing entries are kept. Some libraries read NO_PROXY and others no_proxy, so both variables are set.
    """
    current = [os.environ.get(name) for name in _NAMES]
    for name, value, other in zip(_NAMES, current, reversed(current), strict=True):
        hosts = [host.strip() for host in (value or other or "").split(",") if host.strip()]
        if "*" not in hosts:  # `*` exempts all hosts, but only if it is the only entry
            os.environ[name] = ",".join([*hosts, *(host for host in _LOOPBACK if host not in hosts)])


def request_note(url: str) -> str:
    """Return a note on the proxy and the remedy for a request's error message; "" if the request used no proxy."""
    from requests.utils import should_bypass_proxies

    address = urlsplit(url)
    variables = _variables(address.scheme)
    if not variables or should_bypass_proxies(url, None):
        return ""
    proxy = masked(os.environ[variables[0]])
    return f", through the proxy in {variables[0]} ({proxy}); to connect directly, add {address.hostname} to NO_PROXY"


def page_note(answer: str) -> str:
    """Return a note if a response is a web page that a proxy may have sent; otherwise ""."""
    variables = _variables("http", "https")
    is_page = any(mark in answer.lower() for mark in _PAGE)
    return f" (the proxy in {variables[0]} may have sent this response)" if variables and is_page else ""


def _variables(*schemes: str) -> list[str]:
    """Return the names of the environment variables that set a proxy for any of these schemes."""
    names = [f"{scheme}_proxy" for scheme in schemes] + ["all_proxy"]
    return [name for low in names for name in (low, low.upper()) if os.environ.get(name)]
