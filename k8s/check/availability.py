"""Checks probes, resource limits, spreading, graceful shutdown and disruption budgets."""

from collections.abc import Iterator
from typing import Any

import yaml

from k8s.check.pods import AUTOSCALER, HEAD, WAITING, WORKER, Pod, pods
from k8s.check.policies import selects
from k8s.check.rendering import Resource, name

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
AMOUNTS = ("cpu", "memory", "ephemeral-storage")
RAY_CLUSTER = "ray.io/cluster"
_GENERATIONS = {"Deployment": "pod-template-hash", "StatefulSet": "controller-revision-hash"}
"""Labels that distinguish an upgrade's new pods from the pods that they replace."""
UPLOAD_SECONDS, LONGEST_ANSWER = 3600.0, 210.0
"""Time limits of the endpoint in seconds: for an upload, and for predicting the longest audio with pretrained features.
They are not imported from `serve.admission.limits`, because that module requires packages that this check does not
install."""
READY = "/readyz"
"""Path at which a replica returns 200 once it has a model."""


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield mistakes that would only show up when a node is drained or full."""
    found = list(pods(resources))
    for pod in found:
        for container in pod.containers:
            where = f"{pod.where}, container {container['name']}"
            yield from (f"{where}: {text}" for text in [*_amounts(container), *_probes(pod, container)])
        yield from (f"{pod.where}: {text}" for text in _spread(pod))
    for resource in resources:
        if resource["kind"] == "RayService":
            mine = [pod for pod in found if pod.owner is resource]
            yield from (f"{name(resource)}: {text}" for text in _service(resource["spec"], mine))
        if resource["kind"] == "PodDisruptionBudget":
            yield from (f"{name(resource)}: {text}" for text in _budget(resource["spec"], found))


def _amounts(container: dict[str, Any]) -> Iterator[str]:
    if container["name"] == WAITING:
        return  # the operator sets cpu and memory, and the namespace's LimitRange sets ephemeral-storage
    resources = container.get("resources") or {}
    for kind in ("requests", "limits"):
        missing = [amount for amount in AMOUNTS if amount not in (resources.get(kind) or {})]
        if missing:
            yield f"resources.{kind} lack {', '.join(missing)}"


def _probes(pod: Pod, container: dict[str, Any]) -> Iterator[str]:
    if not pod.runs_on or container["name"] == AUTOSCALER or container in pod.spec.get("initContainers", []):
        return
    ports = container.get("ports", [])
    for kind in PROBES:
        probe = container.get(kind)
        if not probe:
            yield f"{kind} is missing"
            continue
        for action in ("httpGet", "tcpSocket"):
            port = (probe.get(action) or {}).get("port")
            if port and port not in {one["containerPort"] for one in ports} | {one.get("name") for one in ports}:
                yield f"{kind} uses port {port}, on which the container does not listen"


def _spread(pod: Pod) -> Iterator[str]:
    generation = RAY_CLUSTER if pod.role else _GENERATIONS.get(pod.owner["kind"])
    for constraint in pod.spec.get("topologySpreadConstraints", []):
        called = f"topologySpreadConstraints over {constraint['topologyKey']}"
        if not selects(constraint.get("labelSelector") or {}, pod.labels):
            yield f"{called} do not count the pod itself"
        if constraint.get("nodeTaintsPolicy") != "Honor":
            yield f"{called} count lost and drained nodes, so pods are not replaced; set nodeTaintsPolicy: Honor"
        if generation and generation not in constraint.get("matchLabelKeys", []):
            yield f"{called} count an upgrade's old and new pods together; set matchLabelKeys: [{generation}]"


def _service(spec: dict[str, Any], mine: list[Pod]) -> Iterator[str]:
    config = yaml.safe_load(spec["serveConfigV2"])
    http = config.get("http_options") or {}
    if not spec.get("excludeHeadPodFromServeSvc"):
        yield "excludeHeadPodFromServeSvc is not true: requests would go to a head that may be down"
    applications = config["applications"]
    deployments = [one for application in applications for one in application.get("deployments", [])]
    seconds = max([float(one.get("graceful_shutdown_timeout_s", 20)) for one in deployments] or [20.0])
    if 0 < (http.get("request_timeout_s") or 0) <= UPLOAD_SECONDS + LONGEST_ANSWER:
        yield f"request_timeout_s is {http['request_timeout_s']}: Ray would end uploads that the replicas accept"
    for pod in mine:
        container = pod.spec["containers"][0]
        ports = {one.get("name"): one["containerPort"] for one in container.get("ports", [])}
        if pod.role == HEAD:
            group = pod.owner["spec"]["rayClusterConfig"]["headGroupSpec"]
            if (group.get("rayStartParams") or {}).get("num-cpus") != "0":
                yield 'the head\'s num-cpus is not "0": replicas would run on it'
        if pod.role != WORKER:
            continue
        if ports.get("serve") != http.get("port", 8000):
            yield f"{pod.where}: its port serve is {ports.get('serve')}, but Serve listens on {http.get('port', 8000)}"
        probe = (container.get("readinessProbe") or {}).get("httpGet") or {}
        if probe.get("path") != READY or probe.get("port") not in ("serve", ports.get("serve")):
            yield f"{pod.where}: readinessProbe is not {READY} on port serve: it would get requests without a champion"
        sleep = ((container.get("lifecycle") or {}).get("preStop") or {}).get("sleep", {}).get("seconds", 0)
        if sleep <= LONGEST_ANSWER:
            yield f"{pod.where}: preStop ends after {sleep} s, before the longest audio is answered"
        if pod.spec.get("terminationGracePeriodSeconds", 30) <= sleep + seconds:
            yield f"{pod.where}: terminationGracePeriodSeconds is not longer than the drain of {sleep + seconds:g} s"


def _budget(spec: dict[str, Any], found: list[Pod]) -> Iterator[str]:
    chosen = [pod for pod in found if selects(spec["selector"], pod.labels)]
    if not chosen:
        yield "its selector matches no pod"
    for pod in chosen:
        if pod.role and not isinstance(spec.get("minAvailable"), int):
            yield f"{pod.where}: a RayCluster has no scale subresource; set minAvailable to a number"
            continue
        if pod.role == WORKER:
            groups = pod.owner["spec"].get("rayClusterConfig", {}).get("workerGroupSpecs", [])
            count = sum(group.get("minReplicas", 0) for group in groups)
        else:
            count = pod.owner["spec"].get("replicas", 1)
        if isinstance(spec.get("minAvailable"), int) and spec["minAvailable"] >= count:
            yield f"{pod.where}: none of {count} pods may be evicted, so no node can be drained"
