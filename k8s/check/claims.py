"""Checks that pods can mount their claims, and that searches that use a bucket share no claims.

On a cluster without a suitable storage class, a ReadWriteMany claim stays unbound, and pods that mount the claim are
never scheduled. A ReadWriteOnce claim can be mounted on one node only, so a second pod that is scheduled on a different
node does not start.
"""

from collections.abc import Iterator

from k8s.check import sums
from k8s.check.pods import Pod, pods
from k8s.check.rendering import Resource
from k8s.check.sources import at

STORAGE = "RAYGENRE_STORAGE"
SHARED = "ReadWriteMany"
NODES = "raygenre/nodes"
"""Annotation of a claim: the number of nodes in the cluster. On a single node, ReadWriteOnce is sufficient."""


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield pods that use a bucket but mount a ReadWriteMany claim, and ReadWriteOnce claims shared by several pods."""
    maps = {one["metadata"]["name"]: one.get("data") or {} for one in resources if one["kind"] == "ConfigMap"}
    claims = [one for one in resources if one["kind"] == "PersistentVolumeClaim"]
    shared = {one["metadata"]["name"] for one in claims if SHARED in one["spec"]["accessModes"]}
    for pod in pods(resources):
        urls = [url for url in (maps.get(called, {}).get(STORAGE, "") for called in _settings(pod)) if "://" in url]
        for volume in pod.spec.get("volumes", []) if urls else []:
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if claim in shared:
                yield f"{pod.where}: its storage is {urls[0]}, but it mounts {claim}, a {SHARED} claim"
    for claim in claims:
        if claim["metadata"]["name"] not in shared and claim["metadata"].get("annotations", {}).get(NODES) != "1":
            yield from _once(claim, resources)


def _once(claim: Resource, resources: list[Resource]) -> Iterator[str]:
    """Yield a line if several pods, other than those of jobs, mount one single-node claim."""
    users = [pod for pod in pods(resources) if claim["metadata"]["name"] in _mounted(pod)]
    counts = {
        pod.where: sums.count(pod, upgrading=True) for pod in users if pod.owner["kind"] not in ("Job", "CronJob")
    }
    if sum(counts.values()) > 1:
        modes = ", ".join(claim["spec"]["accessModes"])
        who = " and ".join(f"{number} × {where}" for where, number in counts.items())
        yield (
            f"{at(claim, 'spec.accessModes')}: {modes} is for one node, but {who} mount it; "
            f'use {SHARED}, or annotate it with {NODES}: "1" if the cluster has a single node'
        )


def _mounted(pod: Pod) -> set[str]:
    volumes = pod.spec.get("volumes", [])
    return {one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one}


def _settings(pod: Pod) -> Iterator[str]:
    """Yield the names of the ConfigMaps from which a pod gets its environment."""
    for container in pod.containers:
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                yield source["configMapRef"]["name"]
