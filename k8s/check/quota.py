"""Checks that quotas, limits and queues have room for all pods, and allow no extra services.

A LoadBalancer service counts as one load balancer plus one node port for each of its ports. Istio's service has two
ports, because Istio adds one to the Gateway's own port.
"""

from collections.abc import Iterator
from decimal import Decimal
from math import ceil
from typing import Any

from k8s.check import sums
from k8s.check.amounts import amount
from k8s.check.peers import gateway
from k8s.check.pods import pods
from k8s.check.rendering import Resource, name
from k8s.check.sources import at

SERVICE = {"services.loadbalancers": 1, "services.nodeports": 2}
"""The part of the quota that one Gateway's service uses."""

_ALIASES = {"cpu": "requests.cpu", "memory": "requests.memory", "count/pods": "pods"}
_GIB = 2**30


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield quotas and limits that pods or claims exceed, and service quotas that do not match the Gateways."""
    number = sum(bool(gateway(resource)) for resource in resources)
    for quota in (one for one in resources if one["kind"] == "ResourceQuota"):
        for key, each in SERVICE.items():
            given, needed = quota["spec"]["hard"].get(key), number * each
            if given != str(needed):
                yield f"{name(quota)}: {key} is {given}, but the Gateways need {needed}"
        yield from _exceeded(quota, resources)
    yield from _ranges(resources)
    for queue in (one for one in resources if one["kind"] == "ClusterQueue"):
        yield from _queue(queue, resources)


def _exceeded(quota: Resource, resources: list[Resource]) -> Iterator[str]:
    states = sums.states(resources)
    for key, given in quota["spec"]["hard"].items():
        meant = _ALIASES.get(key, key)
        state = max(states, key=lambda one: states[one].get(meant, Decimal(0)))
        needed = states[state].get(meant, Decimal(0))
        if needed > amount(given):
            yield (
                f"{at(quota, f'spec.hard[{key}]')}: {given} is less than the {_text(meant, needed)} that the pods need "
                f"when {state}; raise it, or lower the workers or the annotation {sums.SEARCHES}"
            )


def _ranges(resources: list[Resource]) -> Iterator[str]:
    """Yield containers, pods and claims that a LimitRange rejects."""
    for pod in pods(resources):
        for one in sums.ranges(resources, "Container"):
            for kind in ("initContainers", "containers"):
                for number, container in enumerate(pod.spec.get(kind, [])):
                    start = pod.at(f"{kind}[{number}].resources")
                    yield from _outside(start, sums.of_container(container, resources), one)
        for one in sums.ranges(resources, "Pod"):
            yield from _outside(pod.at("containers"), sums.of_pod(pod, resources), one)
    for claim, _ in sums.claims(resources):
        for one in sums.ranges(resources, "PersistentVolumeClaim"):
            given = amount(claim["spec"]["resources"]["requests"]["storage"])
            where = {"kind": "PersistentVolumeClaim", **claim}
            yield from _outside(at(where, "spec.resources.requests.storage"), {"requests.storage": given}, one)


def _outside(start: str, used: sums.Sums, limits: dict[str, Any]) -> Iterator[str]:
    for what, given in (limits.get("max") or {}).items():
        largest = max(used.get(f"{kind}.{what}", Decimal(0)) for kind in ("requests", "limits"))
        if largest > amount(given):
            text = _text(f"limits.{what}", largest)
            yield f"{start}: {text} of {what} exceed the LimitRange's max of {given}; lower them, or raise max"
    for what, given in (limits.get("min") or {}).items():
        if used.get(f"requests.{what}", Decimal(0)) < amount(given):
            yield f"{start}: the request of {what} is below the LimitRange's min of {given}; raise it, or lower min"


def _queue(queue: Resource, resources: list[Resource]) -> Iterator[str]:
    """Yield resources for which a search needs more than the queue's quota; Kueue would never admit it."""
    search = [one for one in resources if one["kind"] in ("RayJob", "LimitRange")]
    needed = sums.total(search, number=1)
    for group, covered in enumerate(queue["spec"]["resourceGroups"]):
        for what in covered["coveredResources"]:
            quotas = [one for flavor in covered["flavors"] for one in flavor["resources"] if one["name"] == what]
            most = max((amount(one["nominalQuota"]) for one in quotas), default=Decimal(0))
            if needed.get(f"requests.{what}", Decimal(0)) > most:
                text = _text(f"requests.{what}", needed[f"requests.{what}"])
                start = at(queue, f"spec.resourceGroups[{group}].flavors[0].resources[{what}]")
                yield f"{start}: one search needs {text}, more than nominalQuota; raise it, or lower maxReplicas"


def _text(key: str, number: Decimal) -> str:
    """Return an amount as written in a manifest, rounded up."""
    if key.endswith(("memory", "storage")):
        return f"{ceil(number / _GIB)}Gi"
    return f"{ceil(number * 10) / 10:g}"
