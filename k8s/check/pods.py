"""Finds all pods of a rendering, including those that the operator creates from Ray kinds.

The operator adds labels to each template to distinguish heads from workers. Heads of autoscaling clusters also get
an autoscaler container, and workers get an init container that waits for the head. In addition, the operator creates a
pod that submits a job, and one that clears Redis when a cluster with fault tolerance is deleted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from k8s.check import sources
from k8s.check.rendering import Resource, name

HEAD, WORKER, SUBMITTER, CLEANUP = "head", "worker", "submitter", "redis-cleanup"
AUTOSCALER, WAITING = "autoscaler", "wait-gcs-ready"
"""Containers that the operator adds to heads and to workers."""
GATEWAY = "gateway"  # created by a controller; see peers.py
_TEMPLATED = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")
_PORTS = (  # rayStartParams that set a port on which a node listens
    "node-manager-port",
    "object-manager-port",
    "runtime-env-agent-port",
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
)
_SERVE_PORTS = {HEAD: (8500, 8500), WORKER: (30_000, 31_000)}
"""Ray's default ports behind HAProxy: of the proxy that holds requests while no replica is running, and of replicas."""
_OPTIONS = ("image", "imagePullPolicy", "env", "envFrom", "resources", "securityContext", "volumeMounts")
"""The fields of autoscalerOptions that the operator copies to the autoscaler's container."""
_INHERITED = ("image", "imagePullPolicy", "env", "envFrom", "securityContext", "volumeMounts")
"""The fields that the init container inherits from the worker's container. Its resources are fixed."""
_WAITING_AMOUNTS = {"cpu": "200m", "memory": "256Mi"}


@dataclass(frozen=True)
class Pod:
    """A pod template with the operator's additions.

    Attributes:
        where: name to use in messages.
        owner: the object that the pod belongs to.
        labels: labels by which policies and services select the pod.
        spec: the pod's specification.
        role: for a pod of a Ray kind, head, worker, submitter, redis-cleanup or gateway; empty for other pods.
        listens: port ranges on which the pod listens, each as its first and last port.
        runs_on: whether the pod is meant to run indefinitely.
        annotations: annotations of the template.
        template: the owner's field that contains the template.
        group: the specification of the Ray group that the pod belongs to; empty for other pods.
    """

    where: str
    owner: Resource
    labels: dict[str, str]
    spec: dict[str, Any]
    role: str = ""
    listens: tuple[tuple[int, int], ...] = field(default=())
    runs_on: bool = True
    annotations: dict[str, str] = field(default_factory=dict)
    template: str = "spec.template"
    group: dict[str, Any] = field(default_factory=dict)

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All containers, including init containers."""
        return [*self.spec.get("initContainers", []), *self.spec.get("containers", [])]

    @property
    def ports(self) -> dict[str, int]:
        """The containers' named ports, by name."""
        given = [port for container in self.containers for port in container.get("ports", [])]
        return {port["name"]: port["containerPort"] for port in given if "name" in port}

    def at(self, field: str) -> str:
        """Return the start of a message about a field of the pod's specification; see sources.py."""
        return sources.at(self.owner, self.path(field))

    def path(self, field: str) -> str:
        """Return the path of a field of the pod's specification, relative to the pod's owner."""
        return f"{self.template}.spec.{field}" if self.template else f"spec.{field}"

    def hears(self, port: int) -> bool:
        """Return whether the pod listens on a port."""
        return any(first <= port <= last for first, last in self.listens)


def clusters(resource: Resource) -> dict[str, Any] | None:
    """Return the specification of an object's Ray cluster, or None if the object has no cluster."""
    spec: dict[str, Any] = resource.get("spec") or {}
    found: dict[str, Any] | None = {
        "RayCluster": spec,
        "RayJob": spec.get("rayClusterSpec"),
        "RayService": spec.get("rayClusterConfig"),
    }.get(resource["kind"])
    return found


def pods(resources: list[Resource]) -> Iterator[Pod]:
    """Yield the pods of all objects."""
    for resource in resources:
        spec = resource.get("spec") or {}
        if resource["kind"] in _TEMPLATED:
            yield _pod(name(resource), resource, spec["template"], runs_on=resource["kind"] != "Job")
        elif resource["kind"] == "CronJob":
            inner = spec["jobTemplate"]["spec"]["template"]
            yield _pod(name(resource), resource, inner, runs_on=False, place="spec.jobTemplate.spec.template")
        elif resource["kind"] == "Pod":
            yield _pod(name(resource), resource, resource, place="")
        elif cluster := clusters(resource):
            yield from _of_cluster(resource, cluster)
            if resource["kind"] == "RayJob" and spec.get("submissionMode", "K8sJobMode") == "K8sJobMode":
                image = cluster["headGroupSpec"]["template"]["spec"]["containers"][0].get("image", "")
                bare = {"spec": {"containers": [{"name": "ray-job-submitter", "image": image}]}}
                template = spec.get("submitterPodTemplate") or bare
                where = f"{name(resource)}, submitter"
                place = "spec.submitterPodTemplate"
                yield _pod(where, resource, template, role=SUBMITTER, runs_on=False, place=place)


def _of_cluster(resource: Resource, cluster: dict[str, Any]) -> Iterator[Pod]:
    head = cluster["headGroupSpec"]
    inside = {"RayJob": "spec.rayClusterSpec", "RayService": "spec.rayClusterConfig"}.get(resource["kind"], "spec")
    place = f"{inside}.headGroupSpec.template"
    yield _pod(
        f"{name(resource)}, head", resource, head["template"], role=HEAD, group=head, cluster=cluster, place=place
    )
    if (cluster.get("gcsFaultToleranceOptions") or {}).get("backend", "redis") == "redis" and cluster.get(
        "gcsFaultToleranceOptions"
    ):
        where = f"{name(resource)}, cleanup of Redis"
        yield _pod(where, resource, head["template"], role=CLEANUP, runs_on=False, place=place)
    for number, group in enumerate(cluster.get("workerGroupSpecs", [])):
        where, place = (
            f"{name(resource)}, workers {group['groupName']}",
            f"{inside}.workerGroupSpecs[{number}].template",
        )
        yield _pod(where, resource, group["template"], role=WORKER, group=group, cluster=cluster, place=place)


def _pod(
    where: str,
    owner: Resource,
    template: dict[str, Any],
    *,
    role: str = "",
    group: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
    runs_on: bool = True,
    place: str = "spec.template",
) -> Pod:
    spec = dict(template["spec"])
    labels = dict(template.get("metadata", {}).get("labels", {}))
    listens = [
        (port["containerPort"], port["containerPort"])
        for container in spec.get("containers", [])
        for port in container.get("ports", [])
    ]
    if role in (HEAD, WORKER, CLEANUP):
        labels |= {"ray.io/node-type": role, "ray.io/is-ray-node": "yes"}
    if group:
        params = group.get("rayStartParams") or {}
        listens += [(int(params[port]), int(params[port])) for port in _PORTS if port in params]
        if "min-worker-port" in params and "max-worker-port" in params:
            listens.append((int(params["min-worker-port"]), int(params["max-worker-port"])))
        if owner["kind"] == "RayService":
            listens.append(_SERVE_PORTS[role])
    if role == HEAD and cluster and cluster.get("enableInTreeAutoscaling"):
        options = cluster.get("autoscalerOptions") or {}
        own = {key: options[key] for key in _OPTIONS if key in options}
        autoscaler = {"image": spec["containers"][0].get("image", "")} | own | {"name": AUTOSCALER}
        spec["containers"] = [*spec["containers"], autoscaler]
    if role == WORKER:
        first = spec["containers"][0]
        waiting = {key: first[key] for key in _INHERITED if key in first} | {"name": WAITING}
        waiting["resources"] = {"requests": _WAITING_AMOUNTS, "limits": _WAITING_AMOUNTS}
        spec["initContainers"] = [*spec.get("initContainers", []), waiting]
    annotations = dict(template.get("metadata", {}).get("annotations", {}))
    return Pod(where, owner, labels, spec, role, tuple(listens), runs_on, annotations, place, group or {})


def template(pod: Pod) -> Resource:
    """Return a pod that the operator would create, as a PodTemplate (a core Kubernetes object)."""
    called = re.sub("[^a-z0-9]+", "-", pod.where.lower())
    home = {"namespace": pod.owner["metadata"]["namespace"]} if "namespace" in pod.owner["metadata"] else {}
    metadata = {"labels": pod.labels, "annotations": pod.annotations}
    return {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"name": called, **home},
        "template": {"metadata": metadata, "spec": pod.spec},
    }
