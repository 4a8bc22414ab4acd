"""Checks that workloads select their own pods, and that PodMonitors select pods with the named port."""

from collections.abc import Iterator

from k8s.check.pods import Pod, pods
from k8s.check.policies import selects
from k8s.check.rendering import Resource, name

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield selectors that match no pod, and names of ports and services that do not exist."""
    found = list(pods(resources))
    services = {one["metadata"]["name"]: one for one in resources if one["kind"] == "Service"}
    for resource in resources:
        if resource["kind"] in _WORKLOADS:
            yield from (f"{name(resource)}: {text}" for text in _own(resource, services))
        if resource["kind"] == "PodMonitor":
            yield from (f"{name(resource)}: {text}" for text in _watched(resource, found))


def _own(resource: Resource, services: dict[str, Resource]) -> Iterator[str]:
    spec = resource["spec"]
    labels = spec["template"].get("metadata", {}).get("labels", {})
    if not selects(spec["selector"], labels):
        yield "its selector does not match its own pods"
    if resource["kind"] != "StatefulSet":
        return
    service = services.get(spec["serviceName"])
    if service is None:
        yield f"serviceName: Service {spec['serviceName']} does not exist"
    elif not (service["spec"].get("selector") or {"": ""}).items() <= labels.items():
        yield f"serviceName: Service {spec['serviceName']} does not select its pods"


def _watched(resource: Resource, found: list[Pod]) -> Iterator[str]:
    """Yield monitored pods without the named port, which Prometheus would skip silently."""
    chosen = [pod for pod in found if pod.runs_on and selects(resource["spec"]["selector"], pod.labels)]
    if not chosen:
        yield "its selector matches no pod"
    for endpoint in resource["spec"]["podMetricsEndpoints"]:
        for pod in chosen:
            if endpoint["port"] not in pod.ports:
                yield f"{pod.where} has no port named {endpoint['port']}"
