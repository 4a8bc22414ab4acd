"""The endpoint's addresses and ports, and the middleware in Ray's proxies."""
