"""Checks before any work starts: API keys, body limits, upload slots."""
