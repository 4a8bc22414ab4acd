"""Environment variables that configure Ray Serve's processes, including HAProxy.

`serve run serve.app:app` sets these variables for the cluster that it starts. With `serve run FILE`, or if the cluster
is already running, the variables must be set earlier. In these cases, set them in the environment of the command that
starts Ray, together with `RAYGENRE_QUEUE_LENGTH` and `RAYGENRE_RETRY_AFTER` if you change these settings:
    env $(python -m serve.network.proxy_environment) serve run serve/public.yaml
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from raygenre.system.ports import free_port

if TYPE_CHECKING:  # so that `make k8s-check` can read DEFAULTS without the endpoint's packages
    from serve.admission.limits import LimitSettings

DEFAULTS = {
    # HAProxy passes requests directly to the replicas. It uses a small fraction of the CPU time of Ray's own proxies,
    # which are written in Python. Without these proxies, Ray counts the requests in the replicas.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # How long, in s, a stopping replica still accepts requests; HAProxy needs this time to stop sending requests to
    # that replica.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "3",
    # The application runs in the event loop that reads the requests, so bodies need not be copied between threads.
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    # By default, glibc keeps freed memory in up to eight arenas per core, which costs 50 MB per replica. With a total
    # of two arenas, glibc is just as fast.
    "MALLOC_ARENA_MAX": "2",
    # OpenMP's threads wait actively for about 0.1 ms, which bridges the gaps between a network's layers. The default,
    # 3 ms, would take a core from the next request.
    "GOMP_SPINCOUNT": "10000",
    # A proxy that fails three health checks in a row is restarted. A dead proxy fails the checks immediately, so the
    # period determines how long requests go unanswered; the timeout applies to proxies that are alive but busy.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "5",
    # Import path of the middlewares that replicas, and Ray's own proxies, apply to every request.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.network.proxy_middleware.middlewares",
}
ON_KUBERNETES = {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "1"}
"""The manifests use Ray's own proxies instead. When the head was killed, HAProxy rejected a third of the requests until
the next head had found the replicas, whereas Ray's proxies keep using the replicas they already have."""
# This path is short because the length of a socket's path is limited and the sockets are in a subfolder with a long
# name.
_OWN_FOLDER = f"/tmp/haproxy-{os.getuid()}"
MACHINE = {
    "RAY_SERVE_HAPROXY_BINARY_PATH": str(Path(__file__).with_name("haproxy.sh")),
    "RAYGENRE_PYTHON": sys.executable,  # for haproxy.sh
    "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
    # Ray would otherwise start replicas at a niceness of 15, so they would have to wait for every other program on the
    # machine, including Ray's own services.
    "RAY_worker_niceness": "0",
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{_OWN_FOLDER}/haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{_OWN_FOLDER}/admin.sock",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{_OWN_FOLDER}/metrics.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": _OWN_FOLDER,
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{_OWN_FOLDER}/server-state",
    # While no replica is running, HAProxy passes requests to one of Ray's proxies, where they wait for the next
    # replica. With a fixed port, two endpoints on one machine would share that proxy.
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
}
"""Variables whose values differ between machines; the Dockerfile sets those that a container needs."""

PROXY_SETTINGS = ("queue_length", "retry_after")  # settings that proxies read when they call `middlewares`


def set_defaults() -> None:
    """Set the variables that are missing from this process's environment; call this before `ray.init`."""
    for name, value in (DEFAULTS | MACHINE).items():
        os.environ.setdefault(name, value)


def opens_all_addresses(environment: Mapping[str, str]) -> bool:
    """Return True if HAProxy ignores the configured host and listens on all addresses.

    HAProxy does so if it is started without `haproxy.py`.
    """
    start = Path(environment.get("RAY_SERVE_HAPROXY_BINARY_PATH", ""))
    ours = Path(MACHINE["RAY_SERVE_HAPROXY_BINARY_PATH"])
    return environment.get("RAY_SERVE_ENABLE_HA_PROXY") == "1" and start.resolve() != ours.resolve()


def pass_limits(settings: "LimitSettings") -> None:
    """Set the variables for `PROXY_SETTINGS` from the application's settings; call this before `ray.init`."""
    for name in PROXY_SETTINGS:
        os.environ[f"{settings.model_config['env_prefix']}{name.upper()}"] = str(getattr(settings, name))


if __name__ == "__main__":
    for name, value in (DEFAULTS | MACHINE).items():
        if name not in os.environ:
            sys.stdout.write(f"{name}={value}\n")
