"""Whole tasks built from the lower-level packages: search, compare, predict, render, rerun."""
