"""What must not be shown: passwords in addresses."""

import re

# A slash ends a host, unless a password without its escape holds it; what follows a port is a path.
_CREDENTIALS = re.compile(r"(://)(?:[^\s/:]*:(?!\d+/)\S*|[^\s/]*)@")
_IN_QUERY = re.compile(r"([?&](?:password|passwd|token)=)[^&\s'\"]+", re.IGNORECASE)


def masked(text: str) -> str:
    """Return a text with `***` for user names and passwords in the addresses that it holds."""
    return _IN_QUERY.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", text))
