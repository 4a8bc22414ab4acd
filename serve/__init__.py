"""The endpoint: the champion behind HTTP, with Ray Serve."""
