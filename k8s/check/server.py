"""What a real API server says of an overlay, without keeping any of it: for whoever has one with KubeRay's CRDs."""

import time
from dataclasses import dataclass, field

import yaml

from k8s.check.pods import pods, template
from k8s.check.rendering import RenderingError, Resource, kubectl, kubectl_warned, name

MANAGER = "k8s-check"
DEFAULT = "default"
PATIENCE_S = 30
"""For the namespace `default`, which a server that has only just begun still has to make."""

POD_SECURITY = "would violate PodSecurity"
"""How a warning begins that says: this object is taken, and its pods will not be."""


@dataclass(frozen=True)
class Answer:
    """What the server says.

    Attributes:
        problems: what it refuses, or would refuse once there are pods.
        warnings: what it takes and does not like, as versions that are about to go.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def versions() -> set[str]:
    """Return the groups and versions that the server knows, as `apps/v1`.

    Raises:
        RenderingError: it does not answer.
    """
    return set(_ask("api-versions").split())


def answer(resources: list[Resource]) -> Answer:
    """Return what the server says of each object, pods included that an operator makes: those it would see only then.

    A dry run makes no namespace. Where there is none yet, its objects are tried in `default`, with the same schemas and
    defaults and without the namespace's own admission.

    Raises:
        RenderingError: the server does not answer.
    """
    known = _namespaces()
    made = [template(pod) for pod in pods(resources) if pod.role]
    tried = [_at_home(resource, known) for resource in [*resources, *made]]
    try:
        if not _apply(tried):
            return Answer()
        together = ""
    except RenderingError as error:
        together = f"the server refuses the objects together: {error}"
    said = Answer()  # of many at once kubectl does not always say which is meant
    for resource in tried:
        try:
            for warning in _apply([resource]):
                heard = said.problems if warning.startswith(POD_SECURITY) else said.warnings
                heard.append(f"{name(resource)}: the server warns: {warning}")
        except RenderingError as error:
            said.problems.append(f"{name(resource)}: the server refuses it: {error}")
    if together and not said.problems:
        said.problems.append(together)
    return said


def others(version: str, known: set[str]) -> list[str]:
    """Return the versions of a kind's group that the server has; where ours is not among them, it would refuse ours."""
    return sorted(one for one in known if one.partition("/")[0] == version.partition("/")[0])


def _apply(resources: list[Resource]) -> list[str]:
    """Try objects, and return the warnings."""
    return kubectl_warned(
        "apply",
        "--server-side",
        "--force-conflicts",
        f"--field-manager={MANAGER}",
        "--dry-run=server",
        "--validate=strict",
        "--filename=-",
        text=yaml.safe_dump_all(resources),
    )[1]


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
