"""Runs the endpoint on a private Ray cluster on this machine until it is stopped."""

import logging
import re
import signal
from collections.abc import Callable

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.schema import LoggingConfig

from raygenre.pretrained import store
from raygenre.registry import versions
from raygenre.system.ray_folder import use_ray_folder
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from serve.app import build_application
from serve.network import proxy_environment
from serve.preflight import EndpointError, check_model
from serve.settings import Settings

_NAME = "raygenre"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(settings: Settings, host: str, port: int, *, on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM is received, then end every process that was started.

    This function must be called in the main thread.

    Args:
        on_ready: function to call as soon as the endpoint accepts requests.

    Raises:
        EndpointError: Ray or a replica cannot be started.
        RaygenreError: see `build_application`.
    """
    handlers = [signal.getsignal(number) for number in _SIGNALS]
    is_running = False
    try:
        _start(settings, host, port)
        is_running = True
        on_ready()
        while True:
            signal.pause()
    except KeyboardInterrupt:
        return
    except RayError as error:
        raise EndpointError(f"Ray did not start: {str(error).strip().splitlines()[-1]}") from error
    finally:
        for number in _SIGNALS:  # a second Ctrl-C must not leave processes behind
            signal.signal(number, signal.SIG_IGN)
        if is_running:
            serve.delete(_NAME)  # lets replicas finish their requests; `serve.shutdown` would print errors
        ray.shutdown()
        for number, handler in zip(_SIGNALS, handlers, strict=True):
            signal.signal(number, handler)


def _start(settings: Settings, host: str, port: int) -> None:
    # Load the model here first, because Ray Serve would try to load a damaged model three times and print three
    # tracebacks.
    server = Server(resolve(settings.storage, settings.tracking_uri))
    if check_model(server, settings):
        versions.fetch(server, settings.model_uri).classifier.verify()
    else:
        store.load(settings.pretrained_folder)
    proxy_environment.set_defaults()
    proxy_environment.pass_limits(settings)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    use_ray_folder()
    ray.init(address="local", namespace="serve", logging_level=logging.ERROR)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # set only now, because Ray installs its own handler
    # Ray's own processes do not log here; the replicas log every request, as described in serve/monitoring/logs.py.
    quiet = LoggingConfig(encoding="JSON", log_level="CRITICAL", enable_access_log=False)
    serve.start(http_options={"host": host, "port": port}, logging_config=quiet)
    try:
        serve.run(build_application(settings), name=_NAME, route_prefix="/")
    except RuntimeError as error:
        raise EndpointError(f"the endpoint did not start: {_cause(error)}") from error


def _cause(error: RuntimeError) -> str:
    """Return the last line of the traceback from a replica that failed to start."""
    deployments = serve.status().applications[_NAME].deployments.values()
    lines = [
        line
        for each in deployments
        for line in each.message.splitlines()
        if re.match(r"[\w.]+(Error|Exception): ", line)
    ]
    return lines[-1] if lines else str(error)
