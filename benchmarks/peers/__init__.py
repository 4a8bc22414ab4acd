"""The same classifier on other servers, for `benchmarks/serving.py`.

Each is written as in the server's documentation.
"""
