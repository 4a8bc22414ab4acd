"""Where Ray Serve listens.

Neither the builder nor a replica is told, and `serve run` calls the builder before it starts Serve. So the builder asks
if Serve runs already, to say early what is wrong, and every replica asks the Serve that it belongs to before it takes
any request.
"""

import os

import ray


def host() -> str:
    """Return the host that Serve's proxies listen on; empty if it cannot be found out."""
    if os.environ.get("RAY_SERVE_ENABLE_HA_PROXY", "0") == "1":
        return "0.0.0.0"  # HAProxy listens on all interfaces, whatever host is set
    if not ray.is_initialized():  # asking would start a cluster
        return ""
    try:
        from ray.serve.context import _get_global_client  # Serve has no public way to ask

        client = _get_global_client(raise_if_no_controller_running=False)
        return str(client.http_config.host) if client else ""
    except (ImportError, AttributeError):
        return ""
