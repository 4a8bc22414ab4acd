"""Evaluates the pod selectors and ports of NetworkPolicies as Kubernetes does."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from k8s.check.peers import NAMESPACE, Peer
from k8s.check.pods import Pod
from k8s.check.rendering import Resource

TCP, UDP = "TCP", "UDP"
_HOME = {NAMESPACE: "raygenre"}


@dataclass(frozen=True)
class Door:
    """A port and its protocol; policy entries without a protocol mean TCP."""

    port: int
    protocol: str = TCP

    def __str__(self) -> str:
        """Return the port's name for messages."""
        return str(self.port) if self.protocol == TCP else f"{self.port} of {self.protocol}"


def allowed(policies: list[Resource], direction: str, pod: Pod, other: Pod | Peer, door: Door | None) -> bool:
    """Return whether a pod's policies, which are additive, allow a connection.

    Args:
        direction: Ingress for a connection from the peer, Egress for a connection to it.
        other: the peer.
        door: the port; None for any port.
    """
    mine = [one["spec"] for one in policies if selects(one["spec"]["podSelector"], pod.labels)]
    held = [spec for spec in mine if direction in spec.get("policyTypes", ["Ingress"])]
    rules = [rule for spec in held for rule in spec.get(direction.lower(), [])]
    return not held or any(_passes(rule, direction, other, door) for rule in rules)


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Return whether a selector matches these labels."""
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for rule in selector.get("matchExpressions", []):
        value, operator = labels.get(rule["key"]), rule["operator"]
        fits = {
            "In": value in rule.get("values", []),
            "NotIn": value not in rule.get("values", []),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not fits[operator]:
            return False
    return True


def _passes(rule: dict[str, Any], direction: str, other: Pod | Peer, door: Door | None) -> bool:
    ports = rule.get("ports")
    if ports and door is not None and not any(_covers(entry, door) for entry in ports):
        return False
    peers = rule.get("from" if direction == "Ingress" else "to")
    return not peers or any(_is(peer, other) for peer in peers)


def _covers(entry: dict[str, Any], door: Door) -> bool:
    first = entry.get("port", door.port)
    if entry.get("protocol", TCP) != door.protocol or not isinstance(first, int):
        return False
    return door.port in range(first, entry.get("endPort", first) + 1)


def _is(peer: dict[str, Any], other: Pod | Peer) -> bool:
    if "ipBlock" in peer:
        return isinstance(other, Peer) and bool(other.address) and _within(peer["ipBlock"], other.address)
    namespace = other.namespace if isinstance(other, Peer) else _HOME
    if namespace is None:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], namespace):
            return False
    elif namespace != _HOME:
        return False
    return selects(peer.get("podSelector", {}), other.labels)


def _within(block: dict[str, Any], address: str) -> bool:
    given = ip_address(address)
    return given in ip_network(block["cidr"], strict=False) and not any(
        given in ip_network(one, strict=False) for one in block.get("except", [])
    )
