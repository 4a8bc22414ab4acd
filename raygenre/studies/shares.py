"""How studies share the places of a cluster: by priority, then equally.

A place provides the CPUs and GPUs for one training run. Places are handed out one at a time, each to the study with the
smallest dominant share. The dominant share of a study is the larger of its shares of the CPUs and the GPUs; see Ghodsi
et al., Dominant Resource Fairness, NSDI 2011. If all places have the same size, each place goes to the study with the
fewest places.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

EVERYONE = ""
"""The owner name whose limit applies to all users without a limit of their own."""

_ROUNDING = 1e-9  # fractions such as 0.1 GPU do not add up exactly


@dataclass(frozen=True)
class Claim:
    """The places that a study could use.

    Attributes:
        name, owner: names of the study and of the user who submitted it.
        priority: studies with a higher priority get as many places as they can use before others get any.
        places: number of training runs that could be in progress at the same time.
        cpus, gpus: number of CPUs and GPUs of one place.
    """

    name: str
    owner: str
    priority: int
    places: int
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Node:
    """The CPUs and GPUs of one machine."""

    cpus: float
    gpus: float


def fair_shares(claims: Sequence[Claim], nodes: Sequence[Node], limits: Mapping[str, int]) -> dict[str, int]:
    """Return the number of places of each study, by name.

    Together, these places fit on the nodes. A place that one study cannot use is offered to the next. Of two studies
    with equal shares, the one that comes first in `claims` gets the next place, so the shares are stable from call to
    call.

    Args:
        limits: maximum number of places for all studies of an owner together; see `EVERYONE`.
    """
    total = Node(sum(node.cpus for node in nodes), sum(node.gpus for node in nodes))
    free = [[node.cpus, node.gpus] for node in nodes]
    granted = {claim.name: 0 for claim in claims}
    owned: Counter[str] = Counter()
    for priority in sorted({claim.priority for claim in claims}, reverse=True):
        waiting = [claim for claim in claims if claim.priority == priority]
        while waiting:
            claim = min(waiting, key=lambda claim: round(granted[claim.name] * _dominant(claim, total), 9))
            limit = limits.get(claim.owner, limits.get(EVERYONE))
            is_full = granted[claim.name] >= claim.places or (limit is not None and owned[claim.owner] >= limit)
            if is_full or not _take(claim, free):
                waiting.remove(claim)
                continue
            granted[claim.name] += 1
            owned[claim.owner] += 1
    return granted


def within_limits(claims: Sequence[Claim], limits: Mapping[str, int]) -> list[Claim]:
    """Return the claims, each reduced to the places that its study would get if all claims fit.

    Args:
        limits: maximum number of places for all studies of an owner together; see `EVERYONE`.
    """
    cpus, gpus = (sum(claim.places * getattr(claim, kind) for claim in claims) for kind in ("cpus", "gpus"))
    usable = fair_shares(claims, [Node(cpus, gpus)], limits)
    return [replace(claim, places=usable[claim.name]) for claim in claims]


def _dominant(claim: Claim, total: Node) -> float:
    """Return the share of the whole cluster that one place occupies."""
    return max(claim.cpus / total.cpus if total.cpus else 0.0, claim.gpus / total.gpus if total.gpus else 0.0)


def _take(claim: Claim, free: list[list[float]]) -> bool:
    """Take a place on the node with room that has the fewest free GPUs, then CPUs; return False if none has room."""
    fitting = [node for node in free if node[0] + _ROUNDING >= claim.cpus and node[1] + _ROUNDING >= claim.gpus]
    if not fitting:
        return False
    node = min(fitting, key=lambda node: (node[1], node[0]))
    node[0] -= claim.cpus
    node[1] -= claim.gpus
    return True
