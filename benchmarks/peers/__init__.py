"""The same classifier on other servers, written as in their documentation, for `benchmarks/serving.py`."""
