"""Attributes of a study: values that are computed once, and limits that may change."""

from collections.abc import Callable
from typing import Any

from raygenre.search.study.ledger import Ledger


def get_or_compute(ledger: Ledger, key: str, compute: Callable[[], Any]) -> Any:
    """Return a JSON-compatible attribute of the study, which the first call computes and stores."""
    attributes = ledger.study.user_attrs
    if key not in attributes:
        ledger.study.set_user_attr(key, compute())
        attributes = ledger.study.user_attrs
    return attributes[key]


def set_limits(ledger: Ledger, *, time_budget: float | None = None, patience: int | None = None) -> None:
    """Change the time budget, in s, and the patience of a search; None leaves a limit unchanged."""
    limits = {"time_budget": time_budget, "patience": patience}
    changed = {name: value for name, value in limits.items() if value not in (None, getattr(ledger.config, name))}
    if changed:
        ledger.reconfigure(**changed)
