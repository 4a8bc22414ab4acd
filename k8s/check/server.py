"""What a real API server says of an overlay, without keeping any of it: for whoever has one with KubeRay's CRDs."""

import time
from collections.abc import Iterator

import yaml

from k8s.check.pods import pods, template
from k8s.check.rendering import RenderingError, Resource, kubectl, name

MANAGER = "k8s-check"
DEFAULT = "default"
PATIENCE_S = 30
"""For the namespace `default`, which a server that has only just begun still has to make."""


def versions() -> set[str]:
    """Return the groups and versions that the server knows, as `apps/v1`.

    Raises:
        RenderingError: it does not answer.
    """
    return set(_ask("api-versions").split())


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield each object that the server refuses, pods included that an operator makes: those it would see only then.

    A dry run makes no namespace. Where there is none yet, its objects are tried in `default`, with the same schemas and
    defaults and without the namespace's own admission.

    Raises:
        RenderingError: the server does not answer.
    """
    known = _namespaces()
    made = [template(pod) for pod in pods(resources) if pod.role]
    tried = [_at_home(resource, known) for resource in [*resources, *made]]
    try:
        _apply(tried)
    except RenderingError as together:
        found = list(_refused(tried))  # of many at once kubectl does not always say which is meant
        yield from found or [f"the server refuses the objects together: {together}"]


def _refused(resources: list[Resource]) -> Iterator[str]:
    for resource in resources:
        try:
            _apply([resource])
        except RenderingError as error:
            yield f"{name(resource)}: the server refuses it: {error}"


def _apply(resources: list[Resource]) -> None:
    kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        f"--field-manager={MANAGER}",
        "--dry-run=server",
        "--validate=strict",
        "--filename=-",
        text=yaml.safe_dump_all(resources),
    )


def _at_home(resource: Resource, known: set[str]) -> Resource:
    metadata = resource["metadata"]
    if metadata.get("namespace", DEFAULT) in known:
        return resource
    return {**resource, "metadata": {**metadata, "namespace": DEFAULT}}


def _namespaces() -> set[str]:
    for _ in range(PATIENCE_S):
        known = {line.removeprefix("namespace/") for line in _ask("get", "namespaces", "--output=name").split()}
        if DEFAULT in known:
            return known
        time.sleep(1)
    raise RenderingError(f"the API server has had no namespace {DEFAULT} for {PATIENCE_S} s")


def _ask(*arguments: str) -> str:
    try:
        return kubectl(*arguments, "--request-timeout=20s")
    except RenderingError as error:
        last = str(error).splitlines()[-1]  # of what kubectl tried before, it tells as well
        raise RenderingError(f"the API server that KUBECONFIG names does not answer: {last}") from error
