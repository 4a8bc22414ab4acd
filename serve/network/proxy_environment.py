"""How Ray Serve's own processes work, which read it from their environment.

`serve run serve.app:app` sets it for the cluster that it starts. `serve run FILE` and a cluster that runs already come
too late for that, so that it has to be in the environment of what starts Ray:
    env $(python -m serve.network.proxy_environment) serve run serve/public.yaml
"""

import os
import sys

DEFAULTS = {
    # A proxy that fails three checks in a row is started anew. A dead one fails at once, so that the period decides how
    # long nothing is answered; the timeout is for those that live and are busy.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "5",
    # What they put around every request, by its import path.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.network.proxy_middleware.middlewares",
}


def set_defaults() -> None:
    """Put them into the environment, where nobody has set them otherwise. To be called before `ray.init`."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


if __name__ == "__main__":
    for name, value in DEFAULTS.items():
        if name not in os.environ:
            sys.stdout.write(f"{name}={value}\n")
