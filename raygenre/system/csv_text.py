"""Write CSV text for all readers, without cells that a spreadsheet would treat as formulas.

A cell that contains a comma, a quote or any line break is quoted, and lines end with a line feed. Text is prefixed
with an apostrophe if its first character would start a formula in a spreadsheet: `=`, `+`, `-`, `@`, their wide forms,
a tab or a line break. Text that has apostrophes before such a character gets another apostrophe, so a program can
always restore the exact text by removing one apostrophe. Numbers are not changed.
"""

import re
from collections.abc import Iterable

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_QUOTED = re.compile(r'[,"\r\n]')


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV text; None becomes an empty cell.

    Python's csv module is not used, because before Python 3.13 it does not quote a carriage return.
    """
    return "".join(",".join(map(_cell, row)) + "\n" for row in rows)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    if isinstance(value, str) and _FORMULA.match(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
