"""Checks external routes, exposed ports that accept jobs, and accounts with all permissions.

Ray's dashboard, its client port and its GCS accept jobs without authentication. A head's service exposes all three.
"""

from collections.abc import Iterator
from typing import Any

from k8s.check.network import DASHBOARD, GCS, RAY_CLIENT
from k8s.check.peers import gateway
from k8s.check.pods import HEAD, clusters, pods
from k8s.check.rendering import Resource, name

ADMIN = "cluster-admin"
_ROUTES = ("Ingress", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")
_HEADS_SERVICE, _SERVE_SERVICE = "-head-svc", "-serve-svc"  # suffixes that the operator appends
_DOORS: dict[object, str] = {DASHBOARD: "dashboard", RAY_CLIENT: "client", GCS: "gcs"}
"""A head's ports, with the names that the operator gives them."""


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield external routes to the cluster, and cluster-wide permissions."""
    heads = [pod for pod in pods(resources) if pod.role == HEAD]
    behind = {
        one["metadata"]["name"]
        for one in resources
        if one["kind"] == "Service"
        and (selector := one["spec"].get("selector"))
        and any(selector.items() <= head.labels.items() for head in heads)
    }
    absent = {f"{one['metadata']['name']}{_SERVE_SERVICE}": called for one in resources if (called := gateway(one))}
    for resource in resources:
        found = [*_service(resource), *_rights(resource)]
        if resource["kind"] in _ROUTES:
            found += _led(resource.get("spec") or {}, behind)
            found += [
                f"Service {service} does not exist, because each cluster of an incremental upgrade has its own; "
                f"send requests to the Gateway {absent[service]}"
                for service, _ in _backends(resource.get("spec") or {})
                if service in absent
            ]
        yield from (f"{name(resource)}: {text}" for text in found)


def _service(resource: Resource) -> Iterator[str]:
    spec = resource.get("spec") or {}
    if resource["kind"] == "Service" and spec.get("type", "ClusterIP") != "ClusterIP":
        yield f"a {spec['type']} is reachable from outside the cluster"
    if resource["kind"] == "Service" and spec.get("externalIPs"):
        yield "externalIPs are reachable from outside the cluster"
    cluster = clusters(resource)
    if cluster is None:
        return
    head = cluster["headGroupSpec"]
    if head.get("enableIngress"):
        yield "enableIngress puts the dashboard on an Ingress"
    for kind in (head.get("serviceType"), (head.get("headService") or {}).get("spec", {}).get("type")):
        if kind not in (None, "ClusterIP"):
            yield f"the head's service is a {kind}: the dashboard is reachable from outside the cluster"


def _led(spec: dict[str, Any], behind: set[str]) -> Iterator[str]:
    """Yield those backends of a route that must not be reachable from outside."""
    for service, port in _backends(spec):
        if service in behind or service.endswith(_HEADS_SERVICE) or port in (*_DOORS, *_DOORS.values()):
            yield f"it routes outside traffic to {service}, port {port}, of a Ray head, which runs code"


def _backends(value: object) -> Iterator[tuple[str, object]]:
    """Yield the services and ports of a route: `service` in an Ingress, `backendRefs` in the other kinds."""
    if isinstance(value, list):
        for part in value:
            yield from _backends(part)
    elif isinstance(value, dict):
        service = value.get("service")
        if isinstance(service, dict) and "name" in service:
            port = service.get("port") or {}
            yield service["name"], port.get("number", port.get("name"))
        for reference in value.get("backendRefs", []):
            yield reference["name"], reference.get("port")
        for part in value.values():
            yield from _backends(part)


def _rights(resource: Resource) -> Iterator[str]:
    if resource["kind"] in ("RoleBinding", "ClusterRoleBinding") and resource["roleRef"]["name"] == ADMIN:
        yield f"it binds {ADMIN}, which has every permission"
    for rule in resource.get("rules") or [] if resource["kind"] in ("Role", "ClusterRole") else []:
        if "*" in rule.get("verbs", []) or "*" in rule.get("resources", []):
            yield "a rule with * grants more than anything here needs"
