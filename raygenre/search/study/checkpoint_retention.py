"""Selects which checkpoints a study keeps: those of the best and of unfinished trials."""

from collections.abc import Iterable

from raygenre.search.study.ledger import STATES, Ledger


def kept(ledger: Ledger) -> set[int]:
    """Return the numbers of the trials whose training states are kept."""
    return {trial.number for trial in (*ledger.top(ledger.config.top_k), *ledger.unfinished())}


def removable(ledger: Ledger) -> list[int]:
    """Return the numbers of the trials whose training states can be deleted."""
    keep = kept(ledger)
    numbers = [int(name) for name in (ledger.location / STATES).names() if name.isdigit()]
    return [number for number in numbers if number not in keep]


def remove(ledger: Ledger, numbers: Iterable[int]) -> None:
    """Delete the training states of these trials."""
    for number in numbers:
        ledger.checkpoint_location(number).remove()
