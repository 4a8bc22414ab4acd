"""The HTTP endpoint: serves the champion model with Ray Serve."""
