"""Checks the labels by which policies, services and budgets select pods.

If a label is misspelt, the checks that rely on pod labels are skipped, because they would only report the consequences.
"""

from collections.abc import Iterator

from k8s.check.pods import SUBMITTER, pods
from k8s.check.rendering import Resource
from k8s.check.sources import at

LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/component")


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield pod labels that differ from those of the pod's owner."""
    lines = []
    for pod in pods(resources):
        own, kind = pod.owner["metadata"].get("labels", {}), f"the {pod.owner['kind']}"
        for label in (one for one in LABELS if one in own):
            meant = own[label]
            if pod.role == SUBMITTER and label.endswith("/component"):
                meant = f"{meant}-submitter"
            if (given := pod.labels.get(label)) != meant:
                start = at(pod.owner, f"{pod.template}.metadata.labels[{label}]")
                lines.append(
                    f"{start}: it is {given or 'missing'}, but {kind} has {meant}; "
                    f"policies select pods by this label: use {meant}"
                )
    yield from dict.fromkeys(lines)
