"""Convert names and messages into text that is safe to print on a terminal.

Names of files, genres, tags and studies may come from other people. A control character in a name can move the cursor,
change the window title or start a new line, and a bidirectional override can show the rest of a line in another order.
Characters of both kinds are written as escapes such as `\\x1b` or `\\u202e`; all other characters, of any script, are
kept.
"""

import re
from pathlib import Path

# Control characters (C0, delete, C1), line and paragraph separator, bidirectional embeddings, overrides and isolates,
# and lone surrogates, which is how Python represents bytes of a file name that are not UTF-8.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(name: Path | str) -> str:
    """Return a name on one line, escaping every character that a terminal would interpret.

    Bytes of a path that are not UTF-8 are written as \\xNN. A printable name is returned unchanged.
    """
    return _UNSAFE.sub(_escape, str(name))


def printable_lines(text: str) -> str:
    """Escape a message as `printable` does, but keep its line breaks."""
    return text if text.isascii() and text.isprintable() else "\n".join(map(printable, text.split("\n")))


def exact(name: Path | str) -> str:
    """Return the exact name, for files that programs read; only bytes that are not UTF-8 are written as \\xNN."""
    return _SURROGATE.sub(_escape, str(name))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte
        return f"\\x{code - 0xDC00:02x}"
    return _SHORT.get(match[0]) or (f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}")
