"""Checks that GPU pods run on nodes with GPUs and can use them, and that trials and replicas fit on their workers.

Unless rayStartParams sets a node's numbers of CPUs and GPUs, the operator derives them from the container and passes
them to Ray. The number of CPUs is the CPU limit, rounded up; without a limit, the CPU request is used. The number of
GPUs is the sum of the resources whose names end in `gpu`.
"""

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from k8s.check.amounts import amount
from k8s.check.environment import environment
from k8s.check.pods import WORKER, Pod, pods
from k8s.check.rendering import Resource
from k8s.check.versions import OURS

WITH_CUDA = "-cuda"
"""Tag suffix of our images in which PyTorch supports CUDA."""

_RESERVED = {
    "RayJob": {"CPUS_PER_TRIAL": "CPUs", "GPUS_PER_TRIAL": "GPUs"},
    "RayService": {"RAYGENRE_REPLICA_CPUS": "CPUs", "RAYGENRE_REPLICA_GPUS": "GPUs"},
}
_DEFAULTS = {"CPUs": "1", "GPUs": "0"}
_DEVICE = re.compile(r"([\w.-]+)/(gpu|mig-).*")


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield GPU pods that no GPU node accepts or that cannot use a GPU, and reservations that no worker can satisfy."""
    for pod in pods(resources):
        yield from _gpu(pod)
        if pod.role == WORKER and pod.owner["kind"] in _RESERVED:
            yield from _reserved(pod, resources)


def devices(container: dict[str, Any]) -> dict[str, Decimal]:
    """Return the numbers of GPUs and GPU fractions that a container requests, by resource name."""
    given = container.get("resources") or {}
    both = {**(given.get("requests") or {}), **(given.get("limits") or {})}
    return {what: amount(number) for what, number in both.items() if _DEVICE.fullmatch(what) and amount(number)}


def capacity(pod: Pod) -> dict[str, Decimal]:
    """Return the numbers of CPUs and GPUs that Ray assumes a node has."""
    container, params = pod.spec["containers"][0], pod.group.get("rayStartParams") or {}
    given = container.get("resources") or {}
    cpus = (given.get("limits") or {}).get("cpu") or (given.get("requests") or {}).get("cpu") or 0
    gpus = sum(number for what, number in devices(container).items() if what.endswith("gpu"))
    return {
        "CPUs": amount(params.get("num-cpus", amount(cpus).to_integral_value("ROUND_CEILING"))),
        "GPUs": amount(params.get("num-gpus", gpus)),
    }


def _gpu(pod: Pod) -> Iterator[str]:
    for number, container in enumerate(pod.spec.get("containers", [])):
        for what in devices(container):
            taint = f"{what.partition('/')[0]}/gpu"
            if not any(_tolerates(one, taint) for one in pod.spec.get("tolerations", [])):
                yield (
                    f"{pod.at('tolerations')}: none tolerates the taint {taint} of GPU nodes, so the pod is never "
                    f"scheduled; add {{key: {taint}, operator: Exists, effect: NoSchedule}}"
                )
            repository, _, tag = container.get("image", "").rpartition("/")[2].partition(":")
            if repository == OURS and tag and not tag.endswith(WITH_CUDA):
                yield (
                    f"{pod.at(f'containers[{number}].image')}: {container['image']} has no CUDA, but the container "
                    f"requests {what}; use a tag that ends in {WITH_CUDA}"
                )


def _tolerates(toleration: dict[str, Any], taint: str) -> bool:
    """Return whether a toleration matches a taint; device plugins set taints with the effect NoSchedule."""
    exists = toleration.get("operator", "Equal") == "Exists"
    key = toleration.get("key", "")
    return (key == taint or (not key and exists)) and toleration.get("effect", "NoSchedule") == "NoSchedule"


def _reserved(pod: Pod, resources: list[Resource]) -> Iterator[str]:
    """Yield reservations of trials and replicas that exceed their worker's capacity, and GPUs that nothing reserves."""
    settings, most = environment(pod, resources), capacity(pod)
    for variable, what in _RESERVED[pod.owner["kind"]].items():
        value = settings[variable].value if variable in settings else ""
        start = settings[variable].start if variable in settings else pod.at("containers[0].envFrom")
        try:
            number = Decimal(value or _DEFAULTS[what])
        except InvalidOperation:
            yield f"{start}: {value!r} is not a number; set a number of {what}"
            continue
        group = pod.group["groupName"]
        if number > most[what]:
            yield (
                f"{start}: {number:f} {what} are more than the {most[what]:f} of a worker in the group {group}, so "
                f"nothing would start; lower it, or raise the worker's resources"
            )
        elif number > 1 and number != number.to_integral_value() and what == "GPUs":
            yield f"{start}: {number:f} GPUs: Ray accepts only whole numbers above 1; use {number:.0f}"
        elif what == "GPUs" and most[what] and not number:
            yield f"{start}: {variable} is 0, so the GPU of the group {group} is never used; set it to 1 or a fraction"
