"""Measurements side by side, each a script that opens with its command."""
