"""Decoding, batching and the models being served."""
