"""Remove passwords from text before it is printed, logged or stored."""

import re

# A slash ends the host, unless it is in a password that was not percent-encoded. `:DIGITS/` is interpreted
# as a port and a path.
_CREDENTIALS = re.compile(r"(://)(?:[^\s/:]*:(?!\d+/)\S*|[^\s/]*)@")
_IN_QUERY = re.compile(r"([?&](?:password|passwd|token)=)[^&\s'\"]+", re.IGNORECASE)


def masked(text: str) -> str:
    """Return the text with the credentials in any URLs replaced by `***`."""
    return _IN_QUERY.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", text))
