"""Ray Serve's own processes, where this process starts the cluster: settings that Ray reads from their environment.

A cluster that runs already has those that its nodes were started with; see README.md.
"""

import os

DEFAULTS = {
    # A proxy that fails three checks in a row is started anew. A dead one fails at once, so that the period decides how
    # long nothing is answered; the timeout is for those that live and are busy.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "5",
}


def set_defaults() -> None:
    """Put them into the environment, where nobody has set them otherwise. To be called before `ray.init`."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
