"""Checks that images, manifests and constraints.txt agree on the versions of Ray and raygenre."""

import re
import tomllib
from collections.abc import Iterator

from k8s.check.pods import clusters, pods
from k8s.check.rendering import ROOT, Resource, name
from serve.network import proxy_environment

OURS = "raygenre"
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")

EXPECTED = proxy_environment.DEFAULTS | proxy_environment.ON_KUBERNETES


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield versions that differ from the project's versions."""
    ray, ours = pinned("ray"), version()
    for resource in resources:
        cluster = clusters(resource)
        if cluster is not None and cluster.get("rayVersion") != ray:
            yield f"{name(resource)}: rayVersion is {cluster.get('rayVersion')}, but constraints.txt has {ray}"
        if resource["kind"] == "ConfigMap":
            data = resource.get("data") or {}
            for variable in EXPECTED.keys() & data.keys():
                if data[variable] != EXPECTED[variable]:
                    yield f"{name(resource)}: {variable} differs from serve/network/proxy_environment.py"
    for pod in pods(resources):
        for container in pod.containers:
            image = container.get("image")
            if not image:
                continue  # the operator uses the head's image
            where = f"{pod.where}, container {container['name']}"
            repository, _, tag = image.rpartition("/")[2].partition(":")
            if _DIGEST.search(image):
                continue
            if not tag or tag == "latest":
                yield f"{where}: the image {image} has no version"
            elif repository == OURS and not tag.startswith(f"{ours}-ray{ray}-"):
                yield f"{where}: the image {image} is not raygenre {ours} with Ray {ray}"


def pinned(package: str) -> str:
    """Return the version of a package in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines)[package]


def version() -> str:
    """Return the project's version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return str(project["project"]["version"])
