"""Checks that pods use only Secrets meant for them, and that variables use the right keys."""

from collections.abc import Iterator

from k8s.check import outside
from k8s.check.pods import Pod, pods
from k8s.check.references import named
from k8s.check.rendering import Resource

COMPONENT = "app.kubernetes.io/component"


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield pods using Secrets not meant for them, and variables reading the wrong key."""
    for pod in pods(resources):
        yield from dict.fromkeys(_of_pod(pod))


def _of_pod(pod: Pod) -> Iterator[str]:
    component = pod.labels.get(COMPONENT, "")
    for reference in (one for one in named(pod) if one.kind == "Secret" and one.name in outside.SECRETS):
        if component not in outside.USERS[reference.name]:
            keys = outside.SECRETS[reference.name]
            others = [one for one, users in outside.USERS.items() if component in users]
            alike = [one for one in others if outside.SECRETS[one] == keys] or sorted(others)
            remedy = f"use {' or '.join(alike)}" if alike else "remove it"
            yield f"{reference.start}: the Secret {reference.name} is not for {component or 'this pod'}; {remedy}"
            continue
        variable = reference.field.rpartition("[")[2].removesuffix("]")
        meant = outside.VARIABLES.get(variable)
        if meant and meant != (reference.name, reference.key):
            yield f"{reference.start}: it reads {reference.key} of {reference.name}; use {meant[1]} of {meant[0]}"
