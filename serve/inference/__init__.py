"""Models that answer requests, batching, and decoding in separate processes."""
