"""The sums of an overlay's resource requests are correct and match the documentation."""

import copy
from decimal import Decimal
from typing import Any

import pytest

from k8s.check import rendering, sums
from k8s.check.rendering import ROOT, Resource, name
from tests.helpers.k8s.rendered import rendered

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
GIB = 2**30


def deployment(replicas: int, surge: object = None, **pod: Any) -> Resource:
    strategy = {"strategy": {"rollingUpdate": {"maxSurge": surge}}} if surge is not None else {}
    template = {"metadata": {}, "spec": {"containers": [], **pod}}
    metadata = {"name": "one", "namespace": "here"}
    return {
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": replicas, "template": template, **strategy},
    }


def container(cpu: str, memory: str = "1Gi") -> dict[str, Any]:
    return {"name": "one", "resources": {"requests": {"cpu": cpu, "memory": memory}}}


@pytest.mark.parametrize("overlay", rendering.names())
def test_the_documentation_has_the_table(overlay: str) -> None:
    lines = sums.table(overlay, rendered(overlay))
    assert "\n".join(lines) in OPERATIONS, "write these lines into docs/operations.md:\n" + "\n".join(lines)


def test_prod_needs_what_its_manifests_add_up_to() -> None:
    """Expected CPUs: MLflow 2 × 0.5, Redis 0.1, head with autoscaler 1.2, each worker 2, and each search 18.4."""
    found = {state: one["requests.cpu"] for state, one in sums.states(rendered("prod")).items()}
    base, quiet, full, search = Decimal("1.1"), Decimal("5.2"), Decimal("13.2"), Decimal("18.4")
    surge = Decimal("0.5")
    assert list(found.values()) == [
        base + quiet,
        base + surge + 2 * quiet,
        base + full,
        base + surge + 2 * full,
        base + full + 2 * search,
        base + surge + 2 * full + 2 * search,
    ]
    assert list(found)[-1] == "at most, 6 replicas, upgrading, next to 2 searches"


def test_an_endpoint_upgraded_in_place_has_no_second_cluster() -> None:
    resources = copy.deepcopy(rendered("prod"))
    [service] = [one for one in resources if name(one) == "RayService endpoint"]
    service["spec"]["upgradeStrategy"]["type"] = "None"
    assert sums.total(resources, upgrading=True)["pods"] == sums.total(resources)["pods"] + 1  # MLflow's surge pod


@pytest.mark.parametrize(("surge", "pods"), [(None, 5), (2, 6), ("50%", 6), ("10%", 5), (0, 4)])
def test_a_deployment_surges_during_an_upgrade(surge: object, pods: int) -> None:
    assert sums.total([deployment(4, surge)], upgrading=True)["pods"] == pods


def test_a_pod_counts_containers_or_its_largest_init_container() -> None:
    running = [container("1"), container("500m", "3Gi")]
    first = [container("2", "2Gi"), container("1", "1Gi")]
    found = sums.total([deployment(2, containers=running, initContainers=first)])
    assert found == {"requests.cpu": 4, "requests.memory": 8 * GIB, "pods": 2}


def test_a_limit_range_fills_in_what_containers_omit() -> None:
    limits = [{"type": "Container", "defaultRequest": {"cpu": "200m"}, "default": {"cpu": "1", "memory": "2Gi"}}]
    limit_range = {"kind": "LimitRange", "metadata": {"name": "one"}, "spec": {"limits": limits}}
    bare = {"name": "one", "resources": {"limits": {"memory": "3Gi"}}}
    found = sums.of_container(bare, [limit_range])
    cpus = {"requests.cpu": Decimal("0.2"), "limits.cpu": 1}
    assert found == {**cpus, "requests.memory": 3 * GIB, "limits.memory": 3 * GIB}


def test_claims_of_a_stateful_set_count_for_each_pod() -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    stateful = deployment(3) | {"kind": "StatefulSet"}
    stateful["spec"]["volumeClaimTemplates"] = [claim]
    found = sums.total([stateful])
    assert found == {"requests.storage": 6 * GIB, "persistentvolumeclaims": 3, "pods": 3}
