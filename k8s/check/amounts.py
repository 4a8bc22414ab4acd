"""Checks resource quantities, because schemas do not compare requests with limits."""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from k8s.check.pods import pods
from k8s.check.rendering import Resource

_BINARY = {unit: Decimal(2) ** (10 * power) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}
_DECIMAL = {unit: Decimal(10) ** (3 * power) for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)}
UNITS = _BINARY | _DECIMAL | {"m": Decimal("0.001")}


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield invalid quantities, requests above their limits, and fractions of indivisible devices."""
    for pod in pods(resources):
        for container in pod.containers:
            where = f"{pod.where}, container {container['name']}"
            yield from (f"{where}: {text}" for text in _compared(container.get("resources") or {}))


def _compared(resources: dict[str, Any]) -> Iterator[str]:
    requests, limits = (resources.get(kind) or {} for kind in ("requests", "limits"))
    for what in sorted(requests.keys() | limits.keys()):
        texts = {kind: given[what] for kind, given in (("requests", requests), ("limits", limits)) if what in given}
        try:
            amounts = {kind: amount(text) for kind, text in texts.items()}
        except ValueError as error:
            yield f"resources: {what}: {error}"
            continue
        least, most = amounts.get("requests"), amounts.get("limits")
        if "/" in what:  # devices such as GPUs are indivisible, and their requests must equal their limits
            if any(number != number.to_integral_value() for number in amounts.values()):
                yield f"resources: {what} must be a whole number, not {' or '.join(map(str, texts.values()))}"
            elif most is None or least not in (None, most):
                yield f"resources: requests and limits of {what} must be equal"
        elif least is not None and most is not None and least > most:
            yield f"resources: the request of {texts['requests']} {what} exceeds its limit {texts['limits']}"


def amount(given: object) -> Decimal:
    """Return a Kubernetes quantity as a number, for example 0.2 for `200m`.

    Raises:
        ValueError: the text is not a quantity.
    """
    text = str(given)
    unit = next((unit for unit in UNITS if text.endswith(unit)), "")
    try:
        return Decimal(text.removesuffix(unit)) * UNITS.get(unit, Decimal(1))
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a quantity") from error
