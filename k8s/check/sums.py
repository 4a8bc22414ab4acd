"""Computes the total requests and limits of an overlay's pods and claims, for each state.

The loader and MLflow's migration are not counted, because they end before the pods that depend on them start. During an
upgrade, the endpoint has a second Ray cluster of the same size, and each Deployment has the additional pods that its
surge allows.
"""

from collections.abc import Iterator
from decimal import Decimal
from math import ceil
from typing import Any

from k8s.check.amounts import amount
from k8s.check.pods import HEAD, SUBMITTER, WORKER, Pod, pods
from k8s.check.rendering import Resource

SEARCHES = "raygenre/searches"
"""Annotation of a ResourceQuota: the number of concurrent full-size searches for which the quota has room."""

Sums = dict[str, Decimal]
"""Amounts by their names in a ResourceQuota, for example `requests.cpu` in CPUs and `limits.memory` in B."""

GPU = "requests.nvidia.com/gpu"
_COLUMNS = {
    "CPUs": ("requests.cpu", 1),
    "CPU limit": ("limits.cpu", 1),
    "memory": ("requests.memory", 2**30),
    "memory limit": ("limits.memory", 2**30),
    "pods": ("pods", 1),
    "GPUs": (GPU, 1),
    "volumes": ("requests.storage", 2**30),
}


def states(resources: list[Resource]) -> dict[str, Sums]:
    """Return each state's name and sums, from the smallest to the largest state."""
    least, most = replicas(resources)
    number = searches(resources)
    others = f"next to {number} {'search' if number == 1 else 'searches'}"
    quiet = f"quiet, {_counted(least)}"
    full = f"at most, {_counted(most)}"
    found = {quiet: total(resources), f"{quiet}, upgrading": total(resources, upgrading=True)}
    if most > least:
        found |= {full: total(resources, most=True)}
        found |= {f"{full}, upgrading": total(resources, most=True, upgrading=True)}
    return found | {
        f"{full}, {others}": total(resources, most=True, number=number),
        f"{full}, upgrading, {others}": total(resources, most=True, upgrading=True, number=number),
    }


def table(called: str, resources: list[Resource]) -> list[str]:
    """Return the lines of a Markdown table with each state's sums and the quota."""
    rows = [called, *_COLUMNS], ["---", *("---:" for _ in _COLUMNS)]
    found = states(resources)
    lines = [*rows, *([state, *_cells(sums)] for state, sums in found.items())]
    for quota in (one for one in resources if one["kind"] == "ResourceQuota"):
        lines.append(["quota", *_cells({key: amount(given) for key, given in quota["spec"]["hard"].items()}, "-")])
    return [f"| {' | '.join(line)} |" for line in lines]


def total(resources: list[Resource], *, most: bool = False, upgrading: bool = False, number: int = 0) -> Sums:
    """Return the sums of one state.

    Args:
        most: whether the endpoint has its maximum instead of its minimum number of workers.
        upgrading: whether new pods run at the same time as the pods that they replace.
        number: number of concurrent searches, each with its maximum number of workers.
    """
    sums: Sums = {}
    for pod in pods(resources):
        copies = number if pod.owner["kind"] == "RayJob" else 1
        _add(sums, of_pod(pod, resources), count(pod, most=most, upgrading=upgrading) * copies)
    for claim, copies in claims(resources):
        given = (claim["spec"].get("resources") or {}).get("requests", {}).get("storage", 0)
        _add(sums, {"requests.storage": amount(given), "persistentvolumeclaims": Decimal(1)}, copies)
    return sums


def count(pod: Pod, *, most: bool = True, upgrading: bool = False) -> int:
    """Return how many pods of a template run at the same time; a search has its maximum number of workers."""
    kind, spec = pod.owner["kind"], pod.owner.get("spec") or {}
    if kind == "Deployment":
        number = int(spec.get("replicas", 1))
        return number + (_surge(spec, number) if upgrading else 0)
    if kind in ("StatefulSet", "ReplicaSet"):
        return int(spec.get("replicas", 1))
    if pod.role == WORKER:
        number = int(pod.group.get("maxReplicas" if most or kind == "RayJob" else "minReplicas", 0))
        number *= int(pod.group.get("numOfHosts", 1))
    else:
        number = int(pod.role in (HEAD, SUBMITTER) or kind == "Pod")
    second = kind == "RayService" and (spec.get("upgradeStrategy") or {}).get("type", "NewCluster") != "None"
    return number * (2 if upgrading and second else 1)


def of_pod(pod: Pod, resources: list[Resource]) -> Sums:
    """Return a pod's requests and limits: those of all its containers, or of an init container that needs more."""
    kinds = ("containers", "initContainers")
    running, first = ([of_container(one, resources) for one in pod.spec.get(kind, [])] for kind in kinds)
    keys = {key for sums in [*running, *first] for key in sums}
    zero = Decimal(0)
    sums = {
        key: max([sum((one.get(key, zero) for one in running), zero), *(one.get(key, zero) for one in first)])
        for key in keys
    }
    return {**sums, "pods": Decimal(1)}


def of_container(container: dict[str, Any], resources: list[Resource]) -> Sums:
    """Return a container's requests and limits, with the defaults of the namespace's LimitRange."""
    own = container.get("resources") or {}
    limits, requests = dict(own.get("limits") or {}), dict(own.get("requests") or {})
    for one in ranges(resources, "Container"):
        requests = {**(one.get("defaultRequest") or {}), **limits, **requests}
        limits = {**(one.get("default") or {}), **limits}
    requests = {**limits, **requests}
    sums = {f"requests.{what}": amount(given) for what, given in requests.items()}
    # A quota counts devices by their requests, which equal their limits.
    return sums | {f"limits.{what}": amount(given) for what, given in limits.items() if "/" not in what}


def searches(resources: list[Resource]) -> int:
    """Return the number of searches for which the quota has room, according to its annotation; 1 by default."""
    quotas = [one for one in resources if one["kind"] == "ResourceQuota"]
    given = [one["metadata"].get("annotations", {}).get(SEARCHES) for one in quotas]
    return min((int(number) for number in given if number), default=1)


def replicas(resources: list[Resource]) -> tuple[int, int]:
    """Return the minimum and the maximum number of the endpoint's workers."""
    workers = [pod for pod in pods(resources) if pod.role == WORKER and pod.owner["kind"] == "RayService"]
    return sum(count(pod, most=False) for pod in workers), sum(count(pod) for pod in workers)


def ranges(resources: list[Resource], kind: str) -> Iterator[dict[str, Any]]:
    """Yield the limits that LimitRanges set for a kind: Container, Pod or PersistentVolumeClaim."""
    for resource in resources:
        if resource["kind"] == "LimitRange":
            yield from (one for one in resource["spec"]["limits"] if one["type"] == kind)


def _surge(spec: dict[str, Any], number: int) -> int:
    strategy = spec.get("strategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return 0
    given = str((strategy.get("rollingUpdate") or {}).get("maxSurge", "25%"))
    return ceil(number * int(given[:-1]) / 100) if given.endswith("%") else int(given)


def claims(resources: list[Resource]) -> Iterator[tuple[Resource, int]]:
    """Yield the claims, each with its number of copies."""
    for resource in resources:
        if resource["kind"] == "PersistentVolumeClaim":
            yield resource, 1
        if resource["kind"] == "StatefulSet":
            copies = int(resource["spec"].get("replicas", 1))
            yield from ((one, copies) for one in resource["spec"].get("volumeClaimTemplates", []))


def _add(sums: Sums, more: Sums, times: int) -> None:
    for key, value in more.items():
        sums[key] = sums.get(key, Decimal(0)) + value * times


def _counted(number: int) -> str:
    return f"{number} {'replica' if number == 1 else 'replicas'}"


def _cells(sums: Sums, none: str = "0") -> list[str]:
    cells = []
    for key, unit in _COLUMNS.values():
        text = f"{sums[key] / unit:.1f}".removesuffix(".0") if key in sums else none
        cells.append(f"{text} GiB" if unit > 1 and key in sums else text)
    return cells
