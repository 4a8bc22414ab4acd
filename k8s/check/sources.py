"""Finds the file that sets a field of a rendered object, for messages.

kustomize annotates each object with the file that contains it and the kustomizations that it passed through. Only
kustomizations whose patches name the object can have changed it.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILES = "raygenre/files"
"""Annotation of rendered objects: a JSON list of the object's file and the kustomizations that it passed through."""

_ORIGIN, _PASSED = "config.kubernetes.io/origin", "alpha.config.kubernetes.io/transformations"
_KEY = re.compile(r"\[([^]]+)\]|([^.[\]]+)")
METADATA = ["originAnnotations", "transformerAnnotations"]
"""The buildMetadata that makes kustomize write the annotations that `annotate` reads."""


def annotate(resource: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return an object with kustomize's annotations replaced by `FILES`.

    Args:
        folder: the folder of the kustomization that was built; the annotations are relative to it.
    """
    annotations = dict(resource["metadata"].get("annotations", {}))
    origin = yaml.safe_load(annotations.pop(_ORIGIN, "")) or {}
    passed = yaml.safe_load(annotations.pop(_PASSED, "")) or []
    paths = [origin.get("path") or origin.get("configuredIn"), *(one.get("configuredIn") for one in passed)]
    files = [_relative(folder / path) for path in dict.fromkeys(paths) if path and path != "kustomization.yaml"]
    return {**resource, "metadata": {**resource["metadata"], "annotations": {**annotations, FILES: json.dumps(files)}}}


def bare(resource: dict[str, Any]) -> dict[str, Any]:
    """Return an object as kustomize prints it, without the annotation `FILES`."""
    metadata = dict(resource["metadata"])
    annotations = {key: value for key, value in metadata.pop("annotations", {}).items() if key != FILES}
    return {**resource, "metadata": {**metadata, **({"annotations": annotations} if annotations else {})}}


def files(resource: dict[str, Any]) -> list[str]:
    """Return the files that define an object: its own, then those that patch it; empty if unknown."""
    own, *passed = _listed(resource) or [""]
    found = [own, *(path for kustomization in passed for path, _ in _patches(resource, kustomization))]
    return list(dict.fromkeys(filter(None, found)))


def file(resource: dict[str, Any], field: str) -> str:
    """Return the file that sets a field; empty if the file is unknown.

    This is the last file that patches the field, its parent or part of it, or else the object's own file.

    Args:
        field: path of the field, for example `spec.replicas`, `spec.containers[0].image` or `spec.hard[requests.cpu]`.
    """
    own, *passed = _listed(resource) or [""]
    keys = [one[0] or one[1] for one in _KEY.findall(field)]
    for kustomization in reversed(passed):
        if keys[-1] == "image" and _read(kustomization).get("images"):
            return kustomization
        paths = [path for path, patch in _patches(resource, kustomization) if _sets(patch, keys)]
        if paths:
            return paths[-1]
    return own


def at(resource: dict[str, Any], field: str) -> str:
    """Return the start of a message: the file, the object and the field."""
    place = file(resource, field)
    return f"{place}: {called(resource)}: {field}" if place else f"{called(resource)}: {field}"


def located(line: str, resources: list[dict[str, Any]]) -> str:
    """Prepend an object's files to a message that starts with the object's name."""
    for resource in resources:
        if re.match(rf"{re.escape(called(resource))}[:,]", line) and (found := files(resource)):
            return f"{', '.join(found)}: {line}"
    return line


def called(resource: dict[str, Any]) -> str:
    """Return an object's name for messages."""
    return f"{resource['kind']} {resource['metadata']['name']}"


def _listed(resource: dict[str, Any]) -> list[str]:
    paths: list[str] = json.loads(resource["metadata"].get("annotations", {}).get(FILES, "[]"))
    return paths


def _patches(resource: dict[str, Any], kustomization: str) -> list[tuple[str, Any]]:
    """Return a kustomization's patches for an object, each with its file.

    JSON patches are lists; other patches are objects.
    """
    kind, name = resource["kind"], resource["metadata"]["name"]
    found = []
    for given in _read(kustomization).get("patches", []):
        path = ROOT / kustomization
        path = path.with_name(given["path"]) if "path" in given else path
        for patch in _parsed(given["patch"] if "patch" in given else path.read_text()):
            target = given.get("target") or {"kind": patch["kind"], "name": patch["metadata"]["name"]}
            if (target.get("kind", kind), target.get("name", name)) == (kind, name):
                found.append((_relative(path), patch))
    return found


def _sets(patch: Any, keys: list[str]) -> bool:
    """Return whether a patch sets a field, its parent or part of it."""
    if isinstance(patch, list) and all("op" in one for one in patch):
        paths = [one["path"].split("/")[1:] for one in patch if one["op"] != "test"]
        parts = [[part.replace("~1", "/").replace("~0", "~") for part in path] for path in paths]
        return any(path[: len(keys)] == keys[: len(path)] for path in parts)
    if not keys or not isinstance(patch, dict | list):
        return True
    if isinstance(patch, list):  # items are merged by name, regardless of position
        return any(_sets(item, keys[1:]) for item in patch)
    return keys[0] in patch and _sets(patch[keys[0]], keys[1:])


def _read(kustomization: str) -> dict[str, Any]:
    path = ROOT / kustomization
    documents = _parsed(path.read_text()) if path.is_file() else []
    return dict(documents[0] or {}) if documents else {}


@cache
def _parsed(text: str) -> list[Any]:
    """Return the documents of a YAML stream; cached, since all objects of an overlay share its patches."""
    return list(yaml.safe_load_all(text))


def _relative(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
