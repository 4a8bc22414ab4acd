"""Checks that folders are on mounted volumes, and studies and data on persistent volumes.

Root filesystems are read-only, so a folder outside all volumes is not writable. Data in an emptyDir is lost when its
pod ends.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from k8s.check.environment import environment
from k8s.check.pods import HEAD, Pod, pods
from k8s.check.rendering import Resource

IMAGE = PurePosixPath("/app")
"""The project's folder in the image; a custom image may contain data there."""

_STUDIES, _DATA, _KEYS = "RAYGENRE_STORAGE", "RAYGENRE_DATA", "RAYGENRE_API_KEYS_FILE"
_SERVER = ("BACKEND", "AUTH_BACKEND", "ARTIFACTS")  # MLflow's databases and artifacts
_READ = (_DATA, _KEYS)  # never written to, so a read-only volume is sufficient
_SQLITE = "sqlite:///"
_URL = re.compile(r"[a-z][a-z0-9+.-]*:")


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield settings whose folder is not on a suitable volume.

    A volume is unsuitable if it is mounted read-only or starts empty in every pod.
    """
    found: dict[str, str] = {}  # pods share settings, but each setting is reported only once
    for pod in pods(resources):
        given = environment(pod, resources)
        for called in (_STUDIES, _DATA, _KEYS, *_SERVER):
            if called in given and (path := _path(given[called].value)):
                for text in _mounted(pod, called, path):
                    found.setdefault(given[called].start, text)
    yield from (f"{start}: {text}" for start, text in found.items())


def _path(value: str) -> PurePosixPath | None:
    """Return the folder or file that a setting names; None for an empty value or the URL of a server or bucket."""
    path = value.removeprefix(_SQLITE)
    return IMAGE / path if path and not _URL.match(path) else None


def _mounted(pod: Pod, called: str, path: PurePosixPath) -> Iterator[str]:
    if called == _DATA and (pod.role != HEAD or path.is_relative_to(IMAGE)):
        return  # only the driver, which runs on the head, reads the tracks
    mounts = {PurePosixPath(one["mountPath"]): one for one in pod.spec["containers"][0].get("volumeMounts", [])}
    over = [place for place in mounts if path.is_relative_to(place)]
    if not over:
        places = ", ".join(sorted(map(str, mounts)))
        yield f"{path} is not on a volume of {pod.where}; use a folder below one of {places}"
        return
    mount = mounts[max(over, key=lambda place: len(place.parts))]
    [volume] = [one for one in pod.spec.get("volumes", []) if one["name"] == mount["name"]] or [{}]
    cached = called == _STUDIES and pod.owner["kind"] == "RayService"  # the endpoint only caches models there
    if mount.get("readOnly") and called not in _READ:
        yield f"{path} is on a volume that {pod.where} mounts read-only; mount it without readOnly"
    elif "emptyDir" in volume and called != _KEYS and not cached:
        yield (
            f"{path} is on the volume {volume['name']}, which is empty when {pod.where} starts; "
            "mount a PersistentVolumeClaim there"
        )
