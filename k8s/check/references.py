"""Checks that every referenced object exists, in the rendering or in `outside.py`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from k8s.check import outside, sources
from k8s.check.peers import NAMESPACE
from k8s.check.pods import HEAD, WAITING, Pod, clusters, pods
from k8s.check.policies import selects
from k8s.check.rendering import Resource, name

_ADDRESS = re.compile(r"(?:https?://)?([a-z0-9-]+)(?:\.([a-z0-9-]+)(?:\.svc(?:\.cluster\.local)?)?)?:(\d+)/?")


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield references to objects that do not exist."""
    there = {(resource["kind"], resource["metadata"]["name"]): resource for resource in resources}
    services = {called: resource for (kind, called), resource in there.items() if kind == "Service"}
    found = list(pods(resources))
    for pod in found:
        for reference in named(pod):
            where = f"{pod.where}: {reference.kind} {reference.name}"
            keys = _keys(there, reference.kind, reference.name)
            if keys is None:
                yield f"{where} does not exist"
            elif reference.key and reference.key not in keys:
                yield f"{where} has no key {reference.key}"
        yield from _volumes(pod)
        yield from _mounts(pod)
    for resource in resources:
        for called, port, field in _addressed(resource):
            yield from _reached(sources.at(resource, field), services, called, port)
        if resource["kind"] == "Service":
            yield from _behind(resource, found)
        if resource["kind"] == "LocalQueue":
            yield from _queued(resource, there)
        queue = resource["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name")
        if queue and ("LocalQueue", queue) not in there:
            yield f"{name(resource)}: LocalQueue {queue} does not exist"
    yield from _namespaces(resources)


def _namespaces(resources: list[Resource]) -> Iterator[str]:
    """Yield each missing namespace once, because a kustomization sets the namespace of all its objects."""
    namespaces = [resource["metadata"]["name"] for resource in resources if resource["kind"] == "Namespace"]
    strays: dict[str, list[Resource]] = {}
    for resource in resources:
        given = resource["metadata"].get("namespace")
        if given and given not in namespaces:
            strays.setdefault(given, []).append(resource)
    for given, found in strays.items():
        remedy = f"; set namespace: {namespaces[0]} in their kustomization" if namespaces else ""
        others = f" and {len(found) - 1} more objects" if len(found) > 1 else ""
        yield f"{name(found[0])}{others}: Namespace {given} does not exist{remedy}"


def _queued(queue: Resource, there: dict[tuple[str, str], Resource]) -> Iterator[str]:
    """Report a LocalQueue if its ClusterQueue does not exist or does not accept its namespace."""
    target = there.get(("ClusterQueue", queue["spec"]["clusterQueue"]))
    if target is None:
        yield f"{name(queue)}: ClusterQueue {queue['spec']['clusterQueue']} does not exist"
        return
    home = queue["metadata"].get("namespace", "default")
    labels = there.get(("Namespace", home), {}).get("metadata", {}).get("labels", {})
    if not selects(target["spec"].get("namespaceSelector") or {}, {**labels, NAMESPACE: home}):
        start = sources.at(target, "spec.namespaceSelector")
        yield f"{start}: it does not select the namespace {home} of {name(queue)}; select {NAMESPACE}: {home}"


@dataclass(frozen=True)
class Reference:
    """A pod's reference to an object.

    Attributes:
        kind: kind of the object.
        name: name of the object.
        key: key of the object; empty if the pod uses all keys or the object has no keys.
        owner: the object that contains the reference.
        field: the field that contains the reference.
    """

    kind: str
    name: str
    key: str
    owner: Resource
    field: str

    @property
    def start(self) -> str:
        """The start of a message about this reference; see sources.py."""
        return sources.at(self.owner, self.field)


def named(pod: Pod) -> Iterator[Reference]:
    """Yield the references of a pod."""
    spec = pod.spec
    account = spec.get("serviceAccountName", "default")
    yield Reference("ServiceAccount", account, "", pod.owner, pod.path("serviceAccountName"))
    if "priorityClassName" in spec:
        yield Reference("PriorityClass", spec["priorityClassName"], "", pod.owner, pod.path("priorityClassName"))
    for kind in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(kind, [])):
            if container["name"] != WAITING:  # this container inherits the worker's environment
                yield from _taken(pod, container, f"{kind}[{number}]")
    for number, volume in enumerate(spec.get("volumes", [])):
        for part in [volume, *(volume.get("projected") or {}).get("sources", [])]:
            yield from _mounted(part, pod.owner, pod.path(f"volumes[{number}]"))
    cluster = clusters(pod.owner) if pod.role == HEAD else None
    if cluster:
        inside = pod.template.rpartition(".headGroupSpec")[0]
        if secret := (cluster.get("authOptions") or {}).get("secretName"):
            yield Reference("Secret", secret, "auth_token", pod.owner, f"{inside}.authOptions.secretName")
        tolerant = cluster.get("gcsFaultToleranceOptions") or {}
        for field in ("redisPassword", "redisUsername"):
            place = f"{inside}.gcsFaultToleranceOptions.{field}"
            yield from _keyed((tolerant.get(field) or {}).get("valueFrom") or {}, pod.owner, place)


def _taken(pod: Pod, container: dict[str, Any], place: str) -> Iterator[Reference]:
    """Yield the objects from which a container reads its environment variables."""
    for number, source in enumerate(container.get("envFrom", [])):
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if field in source:
                yield Reference(kind, source[field]["name"], "", pod.owner, pod.path(f"{place}.envFrom[{number}]"))
    for variable in container.get("env", []):
        yield from _keyed(variable.get("valueFrom") or {}, pod.owner, pod.path(f"{place}.env[{variable['name']}]"))


def _keyed(source: dict[str, Any], owner: Resource, place: str) -> Iterator[Reference]:
    for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if field in source:
            yield Reference(kind, source[field]["name"], source[field]["key"], owner, place)


def _mounted(part: dict[str, Any], owner: Resource, place: str) -> Iterator[Reference]:
    if "persistentVolumeClaim" in part:
        yield Reference("PersistentVolumeClaim", part["persistentVolumeClaim"]["claimName"], "", owner, place)
    for field, kind, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        if field in part:
            called = part[field].get(key) or part[field]["name"]
            yield Reference(kind, called, "", owner, place)
            yield from (Reference(kind, called, item["key"], owner, place) for item in part[field].get("items", []))


def _keys(there: dict[tuple[str, str], Resource], kind: str, called: str) -> set[str] | None:
    """Return the keys of a referenced object, or None if it does not exist."""
    declared = {"Secret": outside.SECRETS, "ConfigMap": outside.CONFIG_MAPS}.get(kind, {})
    if called in declared:
        return declared[called]
    resource = there.get((kind, called))
    return None if resource is None else set(resource.get("data") or {})


def _volumes(pod: Pod) -> Iterator[str]:
    """Yield unmounted volumes, except in pods to which the operator adds containers that mount them."""
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
    """Yield the services in the same namespace that an object's settings refer to, each with its port."""
    yield from ((called, port) for called, port, _ in _addressed(resource))


def _addressed(resource: Resource) -> Iterator[tuple[str, int, str]]:
    """Yield the services and ports of `addresses`, each with the field that refers to it."""
    texts = {f"data.{key}": text for key, text in (resource.get("data") or {}).items()}
    texts = texts if resource["kind"] == "ConfigMap" else {}
    cluster = clusters(resource) or {}
    if "gcsFaultToleranceOptions" in cluster:
        field = {"RayJob": "spec.rayClusterSpec", "RayService": "spec.rayClusterConfig"}.get(resource["kind"], "spec")
        given = cluster["gcsFaultToleranceOptions"].get("redisAddress", "")
        texts[f"{field}.gcsFaultToleranceOptions.redisAddress"] = given
    for field, text in texts.items():
        match = _ADDRESS.fullmatch(text)
        if match and match[2] in (None, resource["metadata"].get("namespace")):
            yield match[1], int(match[3]), field


def _reached(start: str, services: dict[str, Resource], called: str, port: int) -> Iterator[str]:
    if called not in services:
        yield f"{start}: Service {called} does not exist; use one of {', '.join(sorted(services)) or 'none'}"
        return
    ports = [one["port"] for one in services[called]["spec"]["ports"]]
    if port not in ports:
        yield f"{start}: Service {called} has no port {port}; use {' or '.join(map(str, ports))}"


def _behind(service: Resource, found: list[Pod]) -> Iterator[str]:
    """Report a service without pods, and ports that its pods do not define."""
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
