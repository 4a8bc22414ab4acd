"""Where the endpoint listens, and what runs in Ray's proxies."""
