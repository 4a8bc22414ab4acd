"""The same classifier behind other servers, written as their own documentation shows, for `benchmarks/serving.py`."""
