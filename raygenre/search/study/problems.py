"""Stores the error that ended a study's latest driver, so that users can see it."""

from contextlib import suppress

from raygenre.errors import reason_of
from raygenre.search.study.backend import STORAGE_ERRORS, storage_error_text
from raygenre.search.study.ledger import Ledger

PROBLEM = "problem"
"""Study attribute: the problem that ended the latest driver, such as a full disk or a lost object; empty or missing
if there was none. The problem is also a tag of the search's run."""


def note_problem(ledger: Ledger, error: Exception) -> None:
    """Record the error that ends a search, unless the study itself cannot be written to."""
    with suppress(OSError, *STORAGE_ERRORS):
        ledger.study.set_user_attr(PROBLEM, _text(error))


def clear_problem(ledger: Ledger) -> None:
    """Clear the error of an earlier driver."""
    if problem(ledger):
        ledger.study.set_user_attr(PROBLEM, "")


def problem(ledger: Ledger) -> str:
    """Return why the latest driver of a study ended with an error; empty if it did not."""
    text: str = ledger.study.user_attrs.get(PROBLEM, "")
    return text


def _text(error: Exception) -> str:
    """Return the error on one line; for an OSError, include the file."""
    if isinstance(error, OSError) and error.filename:
        return f"{reason_of(error)}: {error.filename}"
    if isinstance(error, STORAGE_ERRORS):
        return f"the study cannot be written: {storage_error_text(error)}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]
