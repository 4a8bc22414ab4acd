"""The address that Ray Serve listens on.

Ray does not pass the address to the application builder or the replicas, and `serve run` calls the builder before it
starts Ray Serve. The builder can therefore check the address and report errors early only if Ray Serve is already
running. Each replica checks the address again before it accepts requests.
"""

import os

import ray

from serve.network import proxy_environment


def host() -> str:
    """Return the host that Ray Serve listens on, or "" if it is unknown."""
    if proxy_environment.opens_all_addresses(os.environ):
        return "0.0.0.0"
    if not ray.is_initialized():  # the call below would start a cluster
        return ""
    try:
        from ray.serve.context import _get_global_client  # Ray Serve has no public API for this

        client = _get_global_client(raise_if_no_controller_running=False)
        return str(client.http_config.host) if client else ""
    except (ImportError, AttributeError):
        return ""
