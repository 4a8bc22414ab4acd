"""Ray Serve's proxies, listen addresses, and the direct port of replicas."""
