"""The `dev` overlay fits on a laptop, even with a search running alongside the endpoint."""

from decimal import Decimal

from k8s.check.amounts import amount
from k8s.check.pods import WORKER, Pod, clusters, pods
from k8s.check.rendering import ROOT
from tests.helpers.k8s.rendered import rendered

CPUS, GIGABYTES = 8, 20
SYSTEM = {"cpu": Decimal("1.1"), "memory": Decimal(10**9)}
"""Resource requests of kind's own pods and of the operator."""


def count(pod: Pod) -> int:
    """Return how many copies of a pod may run at once; jobs end before the endpoint starts, so they count as 0."""
    if pod.owner["kind"] == "Job":
        return 0
    if pod.role == WORKER:
        [group] = (clusters(pod.owner) or {})["workerGroupSpecs"]
        number: int = group["maxReplicas"]
    else:
        number = pod.owner["spec"].get("replicas", 1)
    upgrade = pod.owner["spec"].get("upgradeStrategy", {}).get("type", "None")
    return number if upgrade == "None" else 2 * number


def test_a_search_and_an_upgrade_fit_a_laptop() -> None:
    found = list(pods(rendered("dev")))
    assert f"{CPUS} CPUs and {GIGABYTES} GB of memory" in (ROOT / "k8s" / "README.md").read_text()
    for what, there in (("cpu", CPUS), ("memory", GIGABYTES * 10**9)):
        asked = [
            count(pod) * sum(amount(one["resources"]["requests"][what]) for one in pod.spec["containers"])
            for pod in found
        ]
        assert sum(asked) + SYSTEM[what] <= there, what
