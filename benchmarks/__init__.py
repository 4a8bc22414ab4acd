"""Benchmarks; each module's docstring shows the command that runs it."""
