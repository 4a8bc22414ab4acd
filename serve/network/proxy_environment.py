"""Environment variables that configure Ray Serve's own processes: proxies and controller.

`serve run serve.app:app` sets them for the cluster that it starts. For `serve run FILE`, or for a cluster that is
already running, that would be too late. In these cases, set them in the environment of the command that starts Ray,
together with `RAYGENRE_QUEUE_LENGTH` and `RAYGENRE_RETRY_AFTER` if you change these settings:
    env $(python -m serve.network.proxy_environment) serve run serve/public.yaml
"""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # so that `make k8s-check` can read DEFAULTS without the endpoint's packages
    from serve.admission.limits import LimitSettings

DEFAULTS = {
    # A proxy that fails three health checks in a row is restarted. A dead proxy fails them immediately, so the period
    # determines how long requests go unanswered; the timeout applies to proxies that are alive but busy.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "5",
    # Import path of the middlewares that proxies apply to every request.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.network.proxy_middleware.middlewares",
}
PROXY_SETTINGS = ("queue_length", "retry_after")  # settings that proxies read when they call `middlewares`


def set_defaults() -> None:
    """Set the variables that are missing from this process's environment; call this before `ray.init`."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def pass_limits(settings: "LimitSettings") -> None:
    """Set the variables for `PROXY_SETTINGS` from the application's settings; call this before `ray.init`."""
    for name in PROXY_SETTINGS:
        os.environ[f"{settings.model_config['env_prefix']}{name.upper()}"] = str(getattr(settings, name))


if __name__ == "__main__":
    for name, value in DEFAULTS.items():
        if name not in os.environ:
            sys.stdout.write(f"{name}={value}\n")
