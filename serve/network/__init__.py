"""The endpoint's addresses and ports, HAProxy, and the middleware around all requests."""
