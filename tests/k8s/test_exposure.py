"""The check finds external routes and cluster-wide permissions that are added to an overlay."""

from typing import Any

import pytest

from k8s.check import exposure
from tests.helpers.k8s.rendered import rendered, whole


def route(kind: str, service: str, port: int | str) -> dict[str, Any]:
    if kind == "Ingress":
        by = "number" if isinstance(port, int) else "name"
        path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {by: port}}}}
        spec: dict[str, Any] = {"rules": [{"http": {"paths": [path]}}]}
    else:
        spec = {"rules": [{"backendRefs": [{"name": service, "port": port}]}]}
    return {"kind": kind, "metadata": {"name": "door"}, "spec": spec}


def binding(kind: str, role: str) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "door"}, "roleRef": {"kind": "ClusterRole", "name": role}}


HEADS = {
    "kind": "Service",
    "metadata": {"name": "heads"},
    "spec": {"selector": {"ray.io/node-type": "head"}, "ports": [{"port": 8265}]},
}


@pytest.mark.parametrize("kind", ["Ingress", "HTTPRoute", "TCPRoute"])
@pytest.mark.parametrize(
    ("service", "port"),
    [("endpoint-head-svc", 80), ("heads", 80), ("mine", 8265), ("mine", "dashboard"), ("mine", 10001), ("mine", 6379)],
)
def test_no_route_reaches_a_head(kind: str, service: str, port: int | str) -> None:
    lines = list(exposure.problems([*whole("prod"), HEADS, route(kind, service, port)]))
    assert lines == [
        f"{kind} door: it routes outside traffic to {service}, port {port}, of a Ray head, which runs code"
    ]


def test_the_default_backend_of_an_ingress_counts() -> None:
    door = route("Ingress", "", 80)
    door["spec"] = {"defaultBackend": {"service": {"name": "endpoint-head-svc", "port": {"number": 8265}}}}
    assert len(list(exposure.problems([*whole("prod"), door]))) == 1


@pytest.mark.parametrize("kind", ["Ingress", "HTTPRoute"])
def test_a_route_may_reach_the_endpoint(kind: str) -> None:
    assert list(exposure.problems([*rendered("prod"), route(kind, "endpoint-serve-svc", 8000)])) == []


@pytest.mark.parametrize("kind", ["Ingress", "HTTPRoute"])
def test_no_route_names_a_service_that_gateways_replace(kind: str) -> None:
    assert list(exposure.problems([*whole("prod"), route(kind, "endpoint-serve-svc", 8000)])) == [
        f"{kind} door: Service endpoint-serve-svc does not exist, because each cluster of an incremental upgrade has "
        "its own; send requests to the Gateway endpoint-gateway"
    ]


@pytest.mark.parametrize("kind", ["RoleBinding", "ClusterRoleBinding"])
def test_no_account_has_every_permission(kind: str) -> None:
    lines = list(exposure.problems([binding(kind, "cluster-admin")]))
    assert lines == [f"{kind} door: it binds cluster-admin, which has every permission"]
    assert list(exposure.problems([binding(kind, "view")])) == []


@pytest.mark.parametrize("rule", [{"verbs": ["*"], "resources": ["pods"]}, {"verbs": ["get"], "resources": ["*"]}])
def test_no_role_grants_everything(rule: dict[str, Any]) -> None:
    lines = list(exposure.problems([{"kind": "Role", "metadata": {"name": "door"}, "rules": [rule]}]))
    assert lines == ["Role door: a rule with * grants more than anything here needs"]


def test_no_service_has_an_address_outside() -> None:
    door = {"kind": "Service", "metadata": {"name": "door"}, "spec": {"externalIPs": ["203.0.113.10"]}}
    assert list(exposure.problems([door])) == ["Service door: externalIPs are reachable from outside the cluster"]
