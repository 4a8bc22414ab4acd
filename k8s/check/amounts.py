"""Whether the API server would take what containers ask for: no schema compares a request with its limit."""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from k8s.check.pods import pods
from k8s.check.rendering import Resource

_BINARY = {unit: Decimal(2) ** (10 * power) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}
_DECIMAL = {unit: Decimal(10) ** (3 * power) for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)}
UNITS = _BINARY | _DECIMAL | {"m": Decimal("0.001")}


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield amounts that are none, requests beyond their limits, and parts of what comes as a whole."""
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
        if "/" in what:  # of a device plugin, as GPUs: nobody has a part of one, or gets one that he did not reserve
            if any(number != number.to_integral_value() for number in amounts.values()):
                yield f"resources: {what} comes in whole numbers, not {' or '.join(map(str, texts.values()))}"
            elif most is None or least not in (None, most):
                yield f"resources: what requests and limits say of {what} has to be the same"
        elif least is not None and most is not None and least > most:
            yield f"resources: the request of {texts['requests']} {what} is beyond its limit {texts['limits']}"


def amount(given: object) -> Decimal:
    """Return what an amount of Kubernetes is as a number, as 0.2 for `200m`.

    Raises:
        ValueError: it is no amount.
    """
    text = str(given)
    unit = next((unit for unit in UNITS if text.endswith(unit)), "")
    try:
        return Decimal(text.removesuffix(unit)) * UNITS.get(unit, Decimal(1))
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no amount") from error
