"""Removes passwords from text before it is printed, logged or stored."""

import re

# A slash ends the host, unless it belongs to a password that was not percent-encoded. After a port, a path follows.
_CREDENTIALS = re.compile(r"(://)(?:[^\s/:]*:(?!\d+/)\S*|[^\s/]*)@")
_IN_QUERY = re.compile(r"([?&](?:password|passwd|token)=)[^&\s'\"]+", re.IGNORECASE)


def masked(text: str) -> str:
    """Return the text with `***` in place of the credentials in any URLs that it contains."""
    return _IN_QUERY.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", text))
