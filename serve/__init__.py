"""The HTTP endpoint: serves the champion with Ray Serve."""
