"""Runs the same classifier on other servers, for `benchmarks/serving.py`.

Each module follows the example in its server's documentation.
"""
