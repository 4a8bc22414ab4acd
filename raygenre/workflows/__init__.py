"""Whole tasks built from the packages below: search, compare, predict, render, rerun."""
