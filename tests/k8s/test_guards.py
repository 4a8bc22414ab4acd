"""The overlays have all required parts, which `k8s.check` does not verify."""

from typing import Any

import pytest

from k8s.check import rendering
from k8s.check.pods import WORKER, Pod, pods
from k8s.check.rendering import Resource, name
from k8s.check.versions import pinned, version
from tests.helpers.k8s.rendered import whole


def one(resources: list[Resource], called: str) -> dict[str, Any]:
    """Return the specification of the named object."""
    [found] = [resource for resource in resources if name(resource) == called]
    spec: dict[str, Any] = found["spec"]
    return spec


def gpus(pod: Pod) -> object:
    return pod.spec["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")


def test_a_prod_worker_survives_a_drain() -> None:
    budget = one(whole("prod"), "PodDisruptionBudget endpoint")
    assert budget["minAvailable"] == 1
    assert budget["selector"]["matchLabels"]["ray.io/node-type"] == "worker"
    [group] = one(whole("prod"), "RayService endpoint")["rayClusterConfig"]["workerGroupSpecs"]
    assert group["minReplicas"] >= 2


def test_replicated_mlflow_has_a_disruption_budget() -> None:
    for overlay in ("gpu", "prod"):
        assert one(whole(overlay), "PodDisruptionBudget mlflow")["maxUnavailable"] == 1
        assert one(whole(overlay), "Deployment mlflow")["replicas"] == 2


def test_the_prod_head_keeps_its_state() -> None:
    options = one(whole("prod"), "RayService endpoint")["rayClusterConfig"]["gcsFaultToleranceOptions"]
    assert (options["backend"], options["redisAddress"]) == ("redis", "redis:6379")
    assert "secretKeyRef" in options["redisPassword"]["valueFrom"]


def test_prod_workers_spread_over_zones() -> None:
    [group] = one(whole("prod"), "RayService endpoint")["rayClusterConfig"]["workerGroupSpecs"]
    [zones] = [
        constraint
        for constraint in group["template"]["spec"]["topologySpreadConstraints"]
        if constraint["topologyKey"] == "topology.kubernetes.io/zone"
    ]
    assert (zones["whenUnsatisfiable"], zones["maxSkew"]) == ("DoNotSchedule", 1)


@pytest.mark.parametrize("overlay", rendering.names())
def test_a_search_is_retried_and_ends(overlay: str) -> None:
    job = one(whole(overlay), "RayJob search")
    assert job["backoffLimit"] == 3
    assert job["preRunningDeadlineSeconds"] == 30 * 60
    assert job["activeDeadlineSeconds"] == 48 * 60 * 60
    assert job["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


@pytest.mark.parametrize("overlay", rendering.names())
def test_mlflow_checks_users_and_host_names(overlay: str) -> None:
    arguments = one(whole(overlay), "Deployment mlflow")["template"]["spec"]["containers"][0]["args"]
    assert "--app-name=basic-auth" in arguments
    [hosts] = [argument.partition("=")[2] for argument in arguments if argument.startswith("--allowed-hosts=")]
    assert "mlflow:5000" in hosts.split(",")
    assert "*" not in hosts


@pytest.mark.parametrize("overlay", rendering.names())
def test_the_namespace_has_quotas(overlay: str) -> None:
    hard = one(whole(overlay), "ResourceQuota raygenre")["hard"]
    assert {"requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "pods"} <= hard.keys()
    asks = any(gpus(pod) for pod in pods(whole(overlay)))
    assert ("requests.nvidia.com/gpu" in hard) == asks
    [limit] = one(whole(overlay), "LimitRange raygenre")["limits"]
    assert {"cpu", "memory", "ephemeral-storage"} <= limit["default"].keys() & limit["defaultRequest"].keys()


def test_gpu_pods_tolerate_gpu_nodes_and_can_use_the_gpu() -> None:
    asking = [pod for pod in pods(whole("gpu")) if pod.role == WORKER and gpus(pod)]
    assert {name(pod.owner) for pod in asking} == {"RayService endpoint", "RayJob search"}
    for pod in asking:
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod.spec["tolerations"]
        assert pod.spec["containers"][0]["image"] == f"raygenre:{version()}-ray{pinned('ray')}-cuda"
