"""Checks that Ray's object store fits into the /dev/shm of its pod, and memory volumes into the memory limit.

By default, Ray reserves 30 % of the memory, regardless of the size of /dev/shm. If /dev/shm is too small, Ray puts the
store on disk and only logs a warning. Data in a memory volume counts towards the memory limit of the container that
writes it, so the container can be killed if it fills a volume as large as the limit.
"""

from collections.abc import Iterator
from typing import Any

from k8s.check.amounts import amount
from k8s.check.pods import HEAD, WORKER, Pod, clusters, pods
from k8s.check.rendering import Resource

SHARE = 0.9  # the part of /dev/shm that the object store may use; Ray leaves the rest free
_PARAM, _FOLDER = "object-store-memory", "/dev/shm"
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield nodes whose object store does not fit into its volume, and memory volumes that leave no spare memory."""
    for pod in pods(resources):
        yield from _volumes(pod)
    for pod in (one for one in pods(resources) if one.role in (HEAD, WORKER)):
        params = _group(pod.owner, pod.where).get("rayStartParams") or {}
        room = _room(pod.spec)
        if _PARAM not in params:
            yield f"{pod.where}: rayStartParams lack {_PARAM}; Ray would reserve 30 % of the memory, or use the disk"
        elif room is None:
            yield f"{pod.where}: {_FOLDER} is not a memory volume with a sizeLimit"
        elif int(params[_PARAM]) > SHARE * room:
            yield f"{pod.where}: {_PARAM} exceeds {SHARE:.0%} of {_FOLDER}, so the store would be on the disk"


def _volumes(pod: Pod) -> Iterator[str]:
    for number, volume in enumerate(pod.spec.get("volumes", [])):
        inside = volume.get("emptyDir") or {}
        if inside.get("medium") != "Memory":
            continue
        for container in pod.spec["containers"]:
            limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
            mounted = any(mount["name"] == volume["name"] for mount in container.get("volumeMounts", []))
            if mounted and limit and amount(inside.get("sizeLimit", limit)) >= amount(limit):
                start = pod.at(f"volumes[{number}].emptyDir.sizeLimit")
                yield (
                    f"{start}: the memory volume {volume['name']} can fill the {limit} of"
                    f" container {container['name']}; lower it, or raise resources.limits.memory"
                )


def _group(owner: Resource, where: str) -> dict[str, Any]:
    cluster = clusters(owner) or {}
    groups = {f"workers {group['groupName']}": group for group in cluster.get("workerGroupSpecs", [])}
    found: dict[str, Any] = (groups | {"head": cluster["headGroupSpec"]})[where.partition(", ")[2]]
    return found


def _room(spec: dict[str, Any]) -> int | None:
    volumes = {volume["name"]: volume.get("emptyDir") or {} for volume in spec.get("volumes", [])}
    for mount in spec["containers"][0].get("volumeMounts", []):
        volume = volumes.get(mount["name"], {})
        size = str(volume.get("sizeLimit", ""))
        if mount["mountPath"] == _FOLDER and volume.get("medium") == "Memory" and size[-2:] in _UNITS:
            return int(size[:-2]) * _UNITS[size[-2:]]
    return None
