"""Checks that every referenced object exists, in the rendering or in `outside.py`."""

import re
from collections.abc import Iterator
from typing import Any

from k8s.check import outside
from k8s.check.pods import HEAD, Pod, clusters, pods
from k8s.check.rendering import Resource, name

_ADDRESS = re.compile(r"(?:https?://)?([a-z0-9-]+)(?:\.raygenre[a-z.]*)?:(\d+)/?")


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield references to objects that do not exist."""
    there = {(resource["kind"], resource["metadata"]["name"]): resource for resource in resources}
    found = list(pods(resources))
    for pod in found:
        for kind, called, key in _named(pod):
            where = f"{pod.where}: {kind} {called}"
            keys = _keys(there, kind, called)
            if keys is None:
                yield f"{where} does not exist"
            elif key and key not in keys:
                yield f"{where} has no key {key}"
        yield from _volumes(pod)
        yield from _mounts(pod)
    for resource in resources:
        for called, port in addresses(resource):
            yield from _reached(resource, there.get(("Service", called)), called, port)
        if resource["kind"] == "Service":
            yield from _behind(resource, found)
        if resource["kind"] == "LocalQueue" and ("ClusterQueue", resource["spec"]["clusterQueue"]) not in there:
            yield f"{name(resource)}: ClusterQueue {resource['spec']['clusterQueue']} does not exist"
        queue = resource["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name")
        if queue and ("LocalQueue", queue) not in there:
            yield f"{name(resource)}: LocalQueue {queue} does not exist"
    namespaces = {resource["metadata"]["name"] for resource in resources if resource["kind"] == "Namespace"}
    for resource in resources:
        given = resource["metadata"].get("namespace")
        if given and given not in namespaces:
            yield f"{name(resource)}: Namespace {given} does not exist"


def _named(pod: Pod) -> Iterator[tuple[str, str, str]]:
    """Yield the kind, the name and the key of each object that a pod refers to; the key may be empty."""
    spec = pod.spec
    yield "ServiceAccount", spec.get("serviceAccountName", "default"), ""
    if "priorityClassName" in spec:
        yield "PriorityClass", spec["priorityClassName"], ""
    for container in pod.containers:
        for source in container.get("envFrom", []):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source:
                    yield kind, source[field]["name"], ""
        for variable in container.get("env", []):
            yield from _keyed(variable.get("valueFrom") or {})
    for volume in spec.get("volumes", []):
        for part in [volume, *(volume.get("projected") or {}).get("sources", [])]:
            yield from _mounted(part)
    cluster = clusters(pod.owner) if pod.role == HEAD else None
    if cluster:
        if secret := (cluster.get("authOptions") or {}).get("secretName"):
            yield "Secret", secret, "auth_token"
        tolerant = cluster.get("gcsFaultToleranceOptions") or {}
        for field in ("redisPassword", "redisUsername"):
            yield from _keyed((tolerant.get(field) or {}).get("valueFrom") or {})


def _keyed(source: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if field in source:
            yield kind, source[field]["name"], source[field]["key"]


def _mounted(part: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    if "persistentVolumeClaim" in part:
        yield "PersistentVolumeClaim", part["persistentVolumeClaim"]["claimName"], ""
    for field, kind, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        if field in part:
            called = part[field].get(key) or part[field]["name"]
            yield kind, called, ""
            yield from ((kind, called, item["key"]) for item in part[field].get("items", []))


def _keys(there: dict[tuple[str, str], Resource], kind: str, called: str) -> set[str] | None:
    """Return the keys of a referenced object, or None if it does not exist."""
    declared = {"Secret": outside.SECRETS, "ConfigMap": outside.CONFIG_MAPS}.get(kind, {})
    if called in declared:
        return declared[called]
    resource = there.get((kind, called))
    return None if resource is None else set(resource.get("data") or {})


def _volumes(pod: Pod) -> Iterator[str]:
    """Yield volumes that no container mounts, except in pods to which the operator adds containers that mount them."""
    mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])}
    if pod.role in ("", HEAD):
        for volume in pod.spec.get("volumes", []):
            if volume["name"] not in mounted:
                yield f"{pod.where}: no container mounts the volume {volume['name']}"


def _mounts(pod: Pod) -> Iterator[str]:
    known = {volume["name"] for volume in pod.spec.get("volumes", [])}
    known |= {claim["metadata"]["name"] for claim in pod.owner.get("spec", {}).get("volumeClaimTemplates", [])}
    for container in pod.containers:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in known:
                yield f"{pod.where}, container {container['name']}: volume {mount['name']} does not exist"


def addresses(resource: Resource) -> Iterator[tuple[str, int]]:
    """Yield the services that an object's settings refer to, each with its port."""
    texts = list((resource.get("data") or {}).values()) if resource["kind"] == "ConfigMap" else []
    cluster = clusters(resource) or {}
    if "gcsFaultToleranceOptions" in cluster:
        texts.append(cluster["gcsFaultToleranceOptions"].get("redisAddress", ""))
    for text in texts:
        if match := _ADDRESS.fullmatch(text):
            yield match[1], int(match[2])


def _reached(resource: Resource, service: Resource | None, called: str, port: int) -> Iterator[str]:
    if service is None:
        yield f"{name(resource)}: Service {called} does not exist"
    elif port not in {one["port"] for one in service["spec"]["ports"]}:
        yield f"{name(resource)}: Service {called} has no port {port}"


def _behind(service: Resource, found: list[Pod]) -> Iterator[str]:
    """Report a service without pods, and its ports that its pods do not have."""
    selector = service["spec"].get("selector") or {}
    chosen = [pod for pod in found if selector.items() <= pod.labels.items()]
    if not chosen:
        yield f"{name(service)}: its selector matches no pod"
    for pod in chosen:
        ports = [port for container in pod.containers for port in container.get("ports", [])]
        for one in service["spec"]["ports"]:
            target = one.get("targetPort", one["port"])
            if target not in {port["containerPort"] for port in ports} | {port.get("name") for port in ports}:
                yield f"{name(service)}: {pod.where} has no port {target}"
