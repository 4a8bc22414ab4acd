"""Peers outside a rendering: pods in other namespaces, addresses, and a Gateway's pods."""

from collections.abc import Iterator
from dataclasses import dataclass

from k8s.check.pods import GATEWAY, Pod
from k8s.check.rendering import Resource, name

NAMESPACE = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Peer:
    """A pod in a different namespace, or an address that does not belong to a pod.

    Attributes:
        where: name to use in messages.
        namespace: labels of the pod's namespace; None for an address.
        labels: labels of the pod.
        address: address to compare with ipBlocks; empty for a pod, which may have any address.
    """

    where: str
    namespace: dict[str, str] | None
    labels: dict[str, str]
    address: str = ""


OPERATOR = Peer("the operator", {NAMESPACE: "kuberay-system"}, {"app.kubernetes.io/name": "kuberay-operator"})
NAMES = Peer("the cluster's DNS", {NAMESPACE: "kube-system"}, {"k8s-app": "kube-dns"})
NODE_NAMES = Peer("the node's DNS cache", None, {}, "169.254.20.10")
METADATA = Peer("the node's metadata", None, {}, "169.254.169.254")
STRANGER = Peer("a pod in another namespace", {NAMESPACE: "stranger"}, {"app": "stranger"})
CLIENT = Peer("a client's pod", {NAMESPACE: "client", "raygenre/clients": "true"}, {"app": "client"})
OUTSIDE = Peer("an address outside", None, {}, "203.0.113.10")  # reserved for documentation
PROMETHEUS = Peer("Prometheus", {NAMESPACE: "monitoring"}, {"app.kubernetes.io/name": "prometheus"})
ISTIOD = Peer("Istio's control plane", {NAMESPACE: "istio-system"}, {"app": "istiod"})


def gateways(resources: list[Resource]) -> Iterator[Pod]:
    """Yield the pods of the Gateway for incremental upgrades, which Istio runs in the same namespace."""
    for resource in resources:
        if called := gateway(resource):
            labels = {"gateway.networking.k8s.io/gateway-name": called}
            yield Pod(f"{name(resource)}, gateway", resource, labels, {}, GATEWAY, ((80, 80),))


def envoy(resource: Resource) -> Peer:
    """Return the pod that Envoy Gateway runs, in its own namespace, for a Gateway."""
    labels = {
        "gateway.envoyproxy.io/owning-gateway-name": gateway(resource),
        "gateway.envoyproxy.io/owning-gateway-namespace": resource["metadata"].get("namespace", "default"),
    }
    return Peer("Envoy Gateway's pod", {NAMESPACE: "envoy-gateway-system"}, labels)


def gateway(resource: Resource) -> str:
    """Return the name of the Gateway that the operator creates for an object; empty if it creates none."""
    if resource["kind"] != "RayService":
        return ""
    options = (resource["spec"].get("upgradeStrategy") or {}).get("clusterUpgradeOptions") or {}
    return f"{resource['metadata']['name']}-gateway" if options.get("gatewayClassName") else ""
