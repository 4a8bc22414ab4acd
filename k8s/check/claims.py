"""Whether a search that keeps its studies at a URL can begin where no class of volumes has ReadWriteMany.

That is what it keeps them there for. Such a claim stays unbound, and a pod that mounts it is never scheduled.
"""

from collections.abc import Iterator

from k8s.check.pods import Pod, pods
from k8s.check.rendering import Resource

STORAGE = "RAYGENRE_STORAGE"
SHARED = "ReadWriteMany"


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield pods with a storage at a URL that wait for a volume which many nodes write."""
    maps = {one["metadata"]["name"]: one.get("data") or {} for one in resources if one["kind"] == "ConfigMap"}
    claims = [one for one in resources if one["kind"] == "PersistentVolumeClaim"]
    shared = {one["metadata"]["name"] for one in claims if SHARED in one["spec"]["accessModes"]}
    for pod in pods(resources):
        urls = [url for url in (maps.get(called, {}).get(STORAGE, "") for called in _settings(pod)) if "://" in url]
        for volume in pod.spec.get("volumes", []) if urls else []:
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if claim in shared:
                yield f"{pod.where}: its storage is {urls[0]}, and it waits for {claim}, a claim of {SHARED}"


def _settings(pod: Pod) -> Iterator[str]:
    """Names of the ConfigMaps that a pod takes its environment from."""
    for container in pod.containers:
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                yield source["configMapRef"]["name"]
