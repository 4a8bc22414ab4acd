"""Tests on a real cluster: repeated applies, upgrades, drained zones, removal and two teams.

The tests run only if KUBECONFIG is set, and they require the operator. They install `prod` in their own namespaces. The
pods of `prod` must become ready, so the nodes need the image, unless their kubelets only pretend to run pods. One test
temporarily cordons a zone and drains it of endpoint pods, unless the zone also runs an endpoint from another namespace.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.check import server
from k8s.check.rendering import kubectl
from tests.helpers.k8s import cluster
from tests.helpers.k8s.cluster import Installation

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ENDPOINT, SEARCH = "rayservices", "rayjobs"
_GROUP = "/spec/rayClusterConfig/workerGroupSpecs/0"


def patch(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a kustomization patch that sets fields of the endpoint's worker group."""
    operations = [{"op": "add", "path": f"{_GROUP}/{field}", "value": value} for field, value in fields.items()]
    return {"target": {"kind": "RayService", "name": "endpoint"}, "patch": yaml.safe_dump(operations)}


def pods_of(installation: Installation) -> dict[str, int]:
    """Return the number of the endpoint's pods in each Ray cluster, by cluster name."""
    numbers: dict[str, int] = {}
    for pod in installation.found("pods", f"{cluster.SERVING},ray.io/cluster"):
        name = pod["metadata"]["labels"]["ray.io/cluster"]
        numbers[name] = numbers.get(name, 0) + 1
    return numbers


def wanted(installation: Installation) -> int:
    """Return the number of workers that the endpoint requests."""
    [endpoint] = installation.found(ENDPOINT)
    [group] = endpoint["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    number: int = group["replicas"]
    return number


@pytest.fixture(scope="module", autouse=True)
def operator() -> Iterator[None]:
    """Require a cluster with the operator, and remove the priority classes that the tests add."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG does not specify a cluster")
    if not cluster.has_operator():
        pytest.skip("the KubeRay operator is not installed on the cluster in KUBECONFIG")
    before = cluster.priority_classes()
    yield
    if added := sorted(one for one in cluster.priority_classes() - before if one.startswith("raygenre-")):
        kubectl("delete", "priorityclass", *added)


@pytest.fixture(scope="module")
def prod(operator: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An endpoint with one worker per zone, but at least two and at most six workers."""
    number = min(6, max(2, len(cluster.zones())))
    more = patch({"replicas": number, "minReplicas": number})
    with cluster.installed(tmp_path_factory.mktemp("prod"), "prod", [more]) as installation:
        yield installation


def test_a_second_apply_finds_no_conflict(prod: Installation) -> None:
    prod.apply_search("first")
    prod.wait(
        "the operator has accepted the endpoint and the search",
        lambda: all(one.get("status") for one in prod.found(f"{ENDPOINT},{SEARCH}")),
    )
    searched = prod.apply_search("first")
    prod.apply()
    assert server.answer([*prod.objects(), *searched]).problems == []
    for kind, field in ((ENDPOINT, "rayClusterConfig"), (SEARCH, "rayClusterSpec")):
        [found] = prod.found(kind)
        assert cluster.owners(found, field) == {"kubectl"}


def test_an_upgrade_replaces_the_cluster_within_the_quota(prod: Installation) -> None:
    prod.wait_until_ready()
    number = wanted(prod) + 1  # including the head
    prod.wait("the cluster has all its pods", lambda: [*pods_of(prod).values()] == [number])
    [old] = pods_of(prod)
    prod.patches.append(patch({"template/metadata/annotations": {"raygenre/test": "upgrade"}}))
    prod.apply()
    prod.wait(
        "the new cluster has all its pods next to the old one",
        lambda: pods_of(prod).get(old) == number and [*pods_of(prod).values()] == [number, number],
    )
    assert "exceeded quota" not in prod.events()
    prod.wait("the old cluster is deleted", lambda: pods_of(prod).keys().isdisjoint({old}))
    prod.wait_until_ready()


def test_workers_of_a_drained_zone_start_in_the_others(prod: Installation) -> None:
    zones = cluster.zones()
    if len(zones) < 2:
        pytest.skip(f"the cluster has nodes in {len(zones)} zones; two are needed")
    prod.wait_until_ready()
    number = wanted(prod)
    prod.wait("all workers run", lambda: sum("nodeName" in pod["spec"] for pod in prod.workers()) == number)
    homes = {node: zone for zone, nodes in zones.items() for node in nodes}
    placed = {homes.get(pod["spec"]["nodeName"]) for pod in prod.workers()}
    assert len(placed) == min(number, len(zones)), f"the workers are not spread over the zones: {placed}"
    heads = {pod["spec"].get("nodeName") for pod in prod.found("pods", "ray.io/node-type=head")}
    lost = min(zones, key=lambda zone: (bool(heads & {*zones[zone]}), zone))
    if busy := cluster.others(zones[lost], prod.namespace):
        pytest.skip(f"the zone {lost} also runs other endpoints: {', '.join(busy[:3])}")
    gone = zones[lost][0]  # stands for the node of unscheduled pods, so that they are not counted
    with cluster.drained(zones[lost]):
        prod.wait(
            f"{number} workers run outside the zone {lost}",
            lambda: sum(pod["spec"].get("nodeName", gone) not in zones[lost] for pod in prod.workers()) == number,
        )


def test_a_team_comes_and_goes_next_to_another(prod: Installation, tmp_path: Path) -> None:
    kinds = "rayservices,deployments,networkpolicies,resourcequotas,serviceaccounts,persistentvolumeclaims"
    before = {one["metadata"]["uid"]: one["metadata"].get("generation") for one in prod.found(kinds)}
    with cluster.installed(tmp_path, "prod") as other:
        other.apply_search("first")
        other.apply()
        prod.apply()
        assert {one["kind"] for one in other.found(kinds)} == {one["kind"] for one in prod.found(kinds)}
        other.remove()
    assert other.namespace not in cluster.namespaces()
    assert {"raygenre-serving", "raygenre-search"} <= cluster.priority_classes()
    assert {one["metadata"]["uid"]: one["metadata"].get("generation") for one in prod.found(kinds)} == before


def test_an_endpoint_and_a_search_are_removed(operator: None, tmp_path: Path) -> None:
    with cluster.installed(tmp_path, "prod") as installation:
        installation.apply_search("first")
        installation.wait("the endpoint has pods", lambda: bool(pods_of(installation)))
        installation.remove()
        assert installation.namespace not in cluster.namespaces()
