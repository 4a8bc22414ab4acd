"""Decoding, batching and the models in service."""
