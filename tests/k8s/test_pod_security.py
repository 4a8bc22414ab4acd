"""Violations of the `restricted` profile are found in pods and in each kind of container."""

import copy
from typing import Any

import pytest

from k8s.check import security
from k8s.check.pods import AUTOSCALER, WAITING, Pod, pods
from k8s.check.rendering import Resource, name
from tests.helpers.k8s.rendered import whole

OTHER_HOST = {"httpGet": {"path": "/", "port": 80, "host": "203.0.113.10"}}

OF_PODS: list[tuple[dict[str, Any], str]] = [
    ({"hostNetwork": True}, "hostNetwork is not allowed"),
    ({"hostPID": True}, "hostPID is not allowed"),
    ({"hostIPC": True}, "hostIPC is not allowed"),
    ({"volumes": [{"name": "node", "hostPath": {"path": "/"}}]}, "volume node: hostPath is not allowed"),
    ({"volumes": [{"name": "old", "nfs": {"server": "here", "path": "/"}}]}, "volume old: nfs is not allowed"),
    ({"securityContext": {"runAsUser": 0}}, "securityContext.runAsUser of the pod is root"),
    ({"securityContext": {"runAsNonRoot": False}}, "securityContext.runAsNonRoot of the pod is false"),
    (
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        "securityContext.seccompProfile of the pod is not RuntimeDefault",
    ),
    (
        {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
        "securityContext.sysctls: kernel.msgmax is not allowed",
    ),
]
OF_BOTH: list[tuple[dict[str, Any], str]] = [
    ({"seLinuxOptions": {"type": "spc_t"}}, "securityContext.seLinuxOptions: the type spc_t is not a container type"),
    ({"seLinuxOptions": {"user": "system_u"}}, "securityContext.seLinuxOptions sets a user or a role"),
    ({"seLinuxOptions": {"role": "sysadm_r"}}, "securityContext.seLinuxOptions sets a user or a role"),
    ({"appArmorProfile": {"type": "Unconfined"}}, "securityContext.appArmorProfile is Unconfined"),
    ({"windowsOptions": {"hostProcess": True}}, "securityContext.windowsOptions.hostProcess is not allowed"),
]
OF_CONTAINERS: list[tuple[dict[str, Any], str]] = [
    ({"allowPrivilegeEscalation": True}, "securityContext.allowPrivilegeEscalation is not false"),
    ({"privileged": True}, "securityContext.privileged is not allowed"),
    ({"capabilities": {"drop": ["KILL"]}}, "securityContext.capabilities do not drop ALL"),
    ({"capabilities": {"drop": ["ALL"], "add": ["SYS_TIME"]}}, "securityContext.capabilities do not drop ALL"),
    ({"runAsNonRoot": False}, "securityContext.runAsNonRoot is not true"),
    ({"runAsUser": 0}, "securityContext.runAsUser is root or not set"),
    ({"seccompProfile": {"type": "Unconfined"}}, "securityContext.seccompProfile is not RuntimeDefault"),
    ({"readOnlyRootFilesystem": False}, "securityContext.readOnlyRootFilesystem is not true"),
    ({"procMount": "Unmasked"}, "securityContext.procMount is Unmasked, not Default"),
]
OF_THEIR_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"ports": [{"containerPort": 80, "hostPort": 80}]}, "a hostPort is not allowed"),
    ({"startupProbe": OTHER_HOST}, "startupProbe uses a different host"),
    ({"readinessProbe": {"tcpSocket": {"port": 80, "host": "there"}}}, "readinessProbe uses a different host"),
    ({"livenessProbe": OTHER_HOST}, "livenessProbe uses a different host"),
    ({"lifecycle": {"postStart": OTHER_HOST}}, "lifecycle.postStart uses a different host"),
    ({"lifecycle": {"preStop": OTHER_HOST}}, "lifecycle.preStop uses a different host"),
]


def ours(resources: list[Resource], role: str) -> Pod:
    """Return the endpoint's pod with this role; tests may change it in place."""
    [found] = [pod for pod in pods(resources) if name(pod.owner) == "RayService endpoint" and pod.role == role]
    return found


def found(resources: list[Resource]) -> list[str]:
    return list(security.problems(resources))


@pytest.fixture
def resources() -> list[Resource]:
    return copy.deepcopy(whole("dev"))


@pytest.mark.parametrize(("change", "says"), OF_PODS)
def test_a_pod_is_restricted(change: dict[str, Any], says: str, resources: list[Resource]) -> None:
    [group] = ours(resources, "worker").owner["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    for key, value in change.items():
        spec = group["template"]["spec"]
        spec[key] = spec[key] + value if isinstance(value, list) else value
    assert f"RayService endpoint, workers replicas: {says}" in found(resources)


@pytest.mark.parametrize(("change", "says"), OF_BOTH)
def test_shared_pod_and_container_fields_are_restricted(
    change: dict[str, Any], says: str, resources: list[Resource]
) -> None:
    [group] = ours(resources, "worker").owner["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    group["template"]["spec"]["securityContext"] |= change
    assert f"RayService endpoint, workers replicas: {says}" in found(resources)


@pytest.mark.parametrize(("change", "says"), OF_BOTH + OF_CONTAINERS)
def test_operator_containers_are_restricted(change: dict[str, Any], says: str, resources: list[Resource]) -> None:
    cluster = ours(resources, "worker").owner["spec"]["rayClusterConfig"]
    cluster["autoscalerOptions"]["securityContext"] |= change
    cluster["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["securityContext"] |= change
    lines = found(resources)
    assert f"RayService endpoint, head, container {AUTOSCALER}: {says}" in lines
    for container in (WAITING, "ray-worker"):
        assert f"RayService endpoint, workers replicas, container {container}: {says}" in lines


@pytest.mark.parametrize(("change", "says"), OF_THEIR_FIELDS)
def test_a_container_is_restricted(change: dict[str, Any], says: str, resources: list[Resource]) -> None:
    ours(resources, "worker").spec["containers"][0].update(change)
    assert f"RayService endpoint, workers replicas, container ray-worker: {says}" in found(resources)


def test_an_annotation_cannot_disable_app_armor(resources: list[Resource]) -> None:
    [deployment] = [one for one in resources if name(one) == "Deployment mlflow"]
    key = "container.apparmor.security.beta.kubernetes.io/mlflow"
    deployment["spec"]["template"]["metadata"]["annotations"] = {key: "unconfined"}
    assert f"Deployment mlflow: the annotation {key} is unconfined, which is not an AppArmor profile" in found(
        resources
    )
    deployment["spec"]["template"]["metadata"]["annotations"] = {key: "runtime/default"}
    assert found(resources) == []
