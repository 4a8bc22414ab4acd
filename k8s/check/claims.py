"""Checks that a search whose storage is a URL can start without a ReadWriteMany class.

On a cluster without such a storage class, a ReadWriteMany claim stays unbound, and a pod that mounts it is never
scheduled.
"""

from collections.abc import Iterator

from k8s.check.pods import Pod, pods
from k8s.check.rendering import Resource

STORAGE = "RAYGENRE_STORAGE"
SHARED = "ReadWriteMany"


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield pods whose storage is a URL but that mount a ReadWriteMany claim."""
    maps = {one["metadata"]["name"]: one.get("data") or {} for one in resources if one["kind"] == "ConfigMap"}
    claims = [one for one in resources if one["kind"] == "PersistentVolumeClaim"]
    shared = {one["metadata"]["name"] for one in claims if SHARED in one["spec"]["accessModes"]}
    for pod in pods(resources):
        urls = [url for url in (maps.get(called, {}).get(STORAGE, "") for called in _settings(pod)) if "://" in url]
        for volume in pod.spec.get("volumes", []) if urls else []:
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if claim in shared:
                yield f"{pod.where}: its storage is {urls[0]}, but it mounts {claim}, a {SHARED} claim"


def _settings(pod: Pod) -> Iterator[str]:
    """Yield the names of the ConfigMaps from which a pod gets its environment."""
    for container in pod.containers:
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                yield source["configMapRef"]["name"]
