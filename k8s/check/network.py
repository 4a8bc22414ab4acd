"""Checks that network policies allow the necessary traffic and nothing else.

The necessary traffic is derived from the objects. A pod must reach the addresses in its settings, and the external
services for which it has secrets. The nodes of a Ray cluster must reach each other; the operator and a job's submitter
must reach the dashboard; and an autoscaler must reach the API server.
"""

from collections.abc import Iterator
from typing import Any

from k8s.check import outside
from k8s.check.peers import (
    CLIENT,
    ISTIOD,
    METADATA,
    NAMES,
    NODE_NAMES,
    OPERATOR,
    OUTSIDE,
    PROMETHEUS,
    STRANGER,
    Peer,
    envoy,
    gateway,
    gateways,
)
from k8s.check.pods import CLEANUP, GATEWAY, HEAD, SUBMITTER, WORKER, Pod, clusters, pods
from k8s.check.policies import TCP, UDP, Door, allowed, selects
from k8s.check.references import addresses
from k8s.check.rendering import Resource, name

DASHBOARD, RAY_CLIENT, GCS, DNS, SERVE, API, HTTP, XDS = 8265, 10001, 6379, 53, 8000, 443, 80, 15012
_FOR_OUTSIDE = (SERVE, HTTP)  # ports that a load balancer's network may reach
NAMED = 2  # maximum number of pods that a line names; the others are only counted
UNMATCHED = "matches no pod"
API_SERVER = "kube-apiserver"
"""Cilium's name for the API server. Kubernetes' own policies cannot refer to it by name."""


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield blocked traffic, ports on which no pod listens, and ports that too many peers can reach."""
    policies = [resource for resource in resources if resource["kind"] == "NetworkPolicy"]
    found = [*pods(resources), *gateways(resources)]
    denied = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if not any(policy["spec"] == denied for policy in policies):
        yield "no NetworkPolicy denies all traffic by default"
    idle = [line for policy in policies for line in _idle(policy, found)]
    yield from idle
    if any(line.endswith(UNMATCHED) for line in idle):
        return  # blocked traffic is only a consequence of the reported problem
    needed = ((source, target, Door(port)) for source, target, port in _needed(resources, found))
    blocked = [
        (source.where, target.where, str(door), direction.lower())
        for source, target, door in [*_names(found), *needed]
        for direction, one, other in (("Egress", source, target), ("Ingress", target, source))
        if isinstance(one, Pod) and not allowed(policies, direction, one, other, door)
    ]
    yield from _together(blocked)
    for pod in found:
        yield from _open(policies, pod, found)
    yield from _cilium([one for one in resources if one["kind"] == "CiliumNetworkPolicy"], found)


def _together(blocked: list[tuple[str, str, str, str]]) -> Iterator[str]:
    """Yield a line for each blocked combination of ports, target and direction.

    Each line covers all affected pods.

    Args:
        blocked: source, target, port and forbidden direction of each blocked connection.
    """
    ports: dict[tuple[str, str, str], list[str]] = {}
    for source, target, door, direction in dict.fromkeys(blocked):
        ports.setdefault((source, target, direction), []).append(door)
    sources: dict[tuple[str, str, str], list[str]] = {}
    for (source, target, direction), doors in ports.items():
        text = f"port{'s' if len(doors) > 1 else ''} {', '.join(doors)}"
        sources.setdefault((target, text, direction), []).append(source)
    for (target, text, direction), found in sources.items():
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        who = f"{'; '.join(found[:NAMED])}{more}"
        yield f"policies block {who} from {target}, {text}: {direction} is not allowed"


def _names(found: list[Pod]) -> Iterator[tuple[Pod | Peer, Pod | Peer, Door]]:
    """Yield the DNS traffic of all pods: UDP, plus TCP for long responses."""
    for pod in found:
        yield from ((pod, peer, Door(DNS, protocol)) for peer in (NAMES, NODE_NAMES) for protocol in (UDP, TCP))


def _needed(resources: list[Resource], found: list[Pod]) -> Iterator[tuple[Pod | Peer, Pod | Peer, int]]:
    maps = {one["metadata"]["name"]: one for one in resources if one["kind"] == "ConfigMap"}
    services = {one["metadata"]["name"]: one for one in resources if one["kind"] == "Service"}
    for pod in found:
        wanted = list(addresses(pod.owner)) if pod.role in (HEAD, CLEANUP) else []
        for source in (one for container in pod.containers for one in container.get("envFrom", [])):
            if settings := maps.get(source.get("configMapRef", {}).get("name")):
                wanted += addresses(settings)
            secret = source.get("secretRef", {}).get("name")
            if secret in outside.PORTS:
                yield pod, OUTSIDE, outside.PORTS[secret]
        for called, port in wanted:
            selector = services[called]["spec"]["selector"] if called in services else {}
            for target in (one for one in found if selector and selector.items() <= one.labels.items()):
                yield pod, target, port
        cluster = clusters(pod.owner) or {}
        nodes = [one for one in found if one.owner is pod.owner and one.role in (HEAD, WORKER)]
        if pod.role in (HEAD, WORKER):
            for node in nodes:
                inner = {first for first, _ in node.listens} - {DASHBOARD, SERVE, 8080}
                yield from ((pod, node, port) for port in sorted(inner))
        if pod.role == HEAD:
            yield OPERATOR, pod, DASHBOARD
            if cluster.get("enableInTreeAutoscaling"):
                yield pod, OUTSIDE, API
        if pod.role == SUBMITTER:
            yield from ((pod, node, DASHBOARD) for node in nodes if node.role == HEAD)
        if pod.role == WORKER and pod.hears(SERVE):
            yield CLIENT, pod, SERVE
            if gateway(pod.owner):
                yield envoy(pod.owner), pod, SERVE
        if pod.role == GATEWAY:
            yield CLIENT, pod, HTTP
            yield pod, ISTIOD, XDS
            yield from ((pod, node, SERVE) for node in nodes if node.role == WORKER)
    for monitor in (one["spec"] for one in resources if one["kind"] == "PodMonitor"):
        for pod in (one for one in found if one.runs_on and selects(monitor["selector"], one.labels)):
            asked = {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]}
            yield from ((PROMETHEUS, pod, port) for called, port in sorted(pod.ports.items()) if called in asked)


def _open(policies: list[Resource], pod: Pod, found: list[Pod]) -> Iterator[str]:
    doors = {DASHBOARD: "the dashboard", RAY_CLIENT: "Ray's client port", GCS: "Ray's GCS"}
    if pod.role not in (HEAD, WORKER):
        doors = {}
    strangers: list[Pod | Peer] = [STRANGER, OUTSIDE]
    for port, what in doors.items():
        others = [one for one in found if one.role == GATEWAY or (one.owner is not pod.owner and not _kin(one, pod))]
        for other in [*strangers, *others]:
            if allowed(policies, "Ingress", pod, other, Door(port)):
                yield f"policies let {other.where} reach {what} of {pod.where}, port {port}"
    for port in sorted({SERVE, *(first for first, _ in pod.listens)} - doors.keys()):
        if allowed(policies, "Ingress", pod, STRANGER, Door(port)):
            yield f"policies let any namespace reach {pod.where}, port {port}"
        if port not in _FOR_OUTSIDE and allowed(policies, "Ingress", pod, OUTSIDE, Door(port)):
            yield f"policies let {OUTSIDE.where} reach {pod.where}, port {port}"
    if allowed(policies, "Egress", pod, METADATA, None):
        yield f"policies let {pod.where} reach {METADATA.where}, {METADATA.address}"


def _cilium(policies: list[Resource], found: list[Pod]) -> Iterator[str]:
    """Yield autoscaling heads that Cilium's policies prevent from reaching the API server.

    Cilium's policies that match no pod are reported as well.
    """
    for policy in policies:
        if not any(selects(policy["spec"]["endpointSelector"], pod.labels) for pod in found):
            yield f"{name(policy)}: its endpointSelector matches no pod"
    for pod in found if policies else []:
        if pod.role == HEAD and (clusters(pod.owner) or {}).get("enableInTreeAutoscaling"):
            mine = [one["spec"] for one in policies if selects(one["spec"]["endpointSelector"], pod.labels)]
            if not any(API_SERVER in rule.get("toEntities", []) for spec in mine for rule in spec.get("egress", [])):
                yield f"Cilium's policies block {pod.where} from {API_SERVER}"


def _kin(one: Pod, other: Pod) -> bool:
    """Return whether both pods belong to searches, which share a policy but not their tokens."""
    return {one.owner["kind"], other.owner["kind"]} == {"RayJob"}


def _idle(policy: Resource, found: list[Pod]) -> Iterator[str]:
    """Yield ports on which no selected pod listens, and selectors that match no pod."""
    spec = policy["spec"]
    chosen = [pod for pod in found if selects(spec["podSelector"], pod.labels)]
    if not chosen:
        yield f"{name(policy)}: its podSelector {UNMATCHED}"
    for rule in spec.get("ingress", []):
        yield from _deaf(policy, rule, chosen)
    for rule in spec.get("egress", []):
        peers = rule.get("to", [])
        inside = [peer for peer in peers if "podSelector" in peer and "namespaceSelector" not in peer]
        targets = [pod for pod in found if any(selects(peer["podSelector"], pod.labels) for peer in inside)]
        if inside and not targets:
            yield f"{name(policy)}: a rule's podSelector {UNMATCHED}"
        if inside and len(inside) == len(peers):
            yield from _deaf(policy, rule, targets)


def _deaf(policy: Resource, rule: dict[str, Any], targets: list[Pod]) -> Iterator[str]:
    for entry in rule.get("ports", []):
        port, spoken = entry.get("port"), entry.get("protocol", TCP) == TCP
        if isinstance(port, int) and targets and not (spoken and any(pod.hears(port) for pod in targets)):
            yield f"{name(policy)}: nothing listens on port {port} of {', '.join(sorted({p.where for p in targets}))}"
