"""Dry runs of `kubectl apply --server-side` on a real API server with KubeRay's CRDs; nothing is stored.

They use kubectl's own field manager and do not force conflicts. If the overlay is installed, the dry runs therefore
report any conflicts that its next apply would cause with the operator or other field managers.
"""

import re
import time
from dataclasses import dataclass, field

import yaml

from k8s.check.pods import pods, template
from k8s.check.rendering import RenderingError, Resource, kubectl, kubectl_warned, name

DEFAULT = "default"
PATIENCE_S = 30
"""How long to wait for a new server to create the namespace `default`."""

LONGEST = 600
"""Maximum length of a printed error in characters; some errors repeat whole objects."""

_COMMAND = re.compile(r"^kubectl apply( --\S+)*: ")
_VALUE = re.compile(r" Invalid value: (?:(?! Invalid value: ).)*?: field is immutable")
_STRUCT = re.compile(r" &?\w+\.\w+\{.*")  # a diff of two Go structs at the end of a message

POD_SECURITY = "would violate PodSecurity"
"""Start of the warning for an object that is accepted but whose pods would be rejected."""


@dataclass(frozen=True)
class Answer:
    """The server's response to the objects.

    Attributes:
        problems: objects that the server rejects, and objects whose pods it would reject.
        warnings: warnings about objects that it accepts, for example about deprecated versions.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def versions() -> set[str]:
    """Return the API versions that the server supports, each with its group, for example `apps/v1`.

    Raises:
        RenderingError: the server does not respond.
    """
    return set(_ask("api-versions").split())


def answer(resources: list[Resource]) -> Answer:
    """Return the server's response to the objects and to the pods that an operator would create from them.

    A dry run does not create namespaces. Objects whose namespace does not exist yet are tested in the namespace
    `default`. Schemas and defaults are the same there, but the missing namespace's admission rules do not apply.

    Raises:
        RenderingError: the server does not respond.
    """
    known = _namespaces()
    made = [template(pod) for pod in pods(resources) if pod.role]
    tried = [_at_home(resource, known) for resource in [*resources, *made]]
    try:
        if not _apply(tried):
            return Answer()
        together = ""
    except RenderingError as error:
        together = f"the server rejects the objects together: {brief(str(error))}"
    # The objects are applied again one by one, because kubectl's messages do not always name the object.
    said = Answer()
    for resource in tried:
        try:
            for warning in _apply([resource]):
                heard = said.problems if warning.startswith(POD_SECURITY) else said.warnings
                heard.append(f"{name(resource)}: the server warns: {warning}")
        except RenderingError as error:
            said.problems.append(f"{name(resource)}: the server rejects it: {brief(str(error), resource)}")
    if together and not said.problems:
        said.problems.append(together)
    return said


def others(version: str, known: set[str]) -> list[str]:
    """Return the supported versions of an API group; the server rejects all other versions."""
    return sorted(one for one in known if one.partition("/")[0] == version.partition("/")[0])


def brief(message: str, resource: Resource | None = None) -> str:
    """Return a kubectl error on one line, without kubectl's advice and without values printed in full.

    Args:
        resource: the rejected object; if it is immutable, the result includes the command that deletes it.
    """
    text = _COMMAND.sub("", " ".join(message.partition("Please review the fields above")[0].split()))
    text = _STRUCT.sub("", _VALUE.sub(" field is immutable", text))
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
    if resource and "is immutable" in text:
        home = f"-n {resource['metadata']['namespace']} " if "namespace" in resource["metadata"] else ""
        command = f"kubectl {home}delete {resource['kind'].lower()} {resource['metadata']['name']}"
        text += f"; keep the installed value, or delete the object before you apply it: {command}"
    return text


def _apply(resources: list[Resource]) -> list[str]:
    """Apply objects in a dry run, and return the server's warnings."""
    return kubectl_warned(
        "apply",
        "--server-side",
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
    raise RenderingError(f"the API server still has no namespace {DEFAULT} after {PATIENCE_S} s")


def _ask(*arguments: str) -> str:
    try:
        return kubectl(*arguments, "--request-timeout=20s")
    except RenderingError as error:
        last = str(error).splitlines()[-1]  # kubectl also reports its earlier attempts
        raise RenderingError(f"the API server of KUBECONFIG does not answer: {last}") from error
