"""Where Ray Serve listens.

Neither the builder nor a replica is told: `serve run` calls the builder before it starts Serve, or Serve runs already
and has its own address. So a replica asks the Serve that it belongs to, before it takes any request.
"""

import os


def host() -> str:
    """Return the host that Serve's proxies listen on; empty if it cannot be found out."""
    if os.environ.get("RAY_SERVE_ENABLE_HA_PROXY", "0") == "1":
        return "0.0.0.0"  # HAProxy listens on all interfaces, whatever host is set
    try:
        from ray.serve.context import _get_global_client  # Serve has no public way to ask

        client = _get_global_client(raise_if_no_controller_running=False)
        return str(client.http_config.host) if client else ""
    except (ImportError, AttributeError):
        return ""
