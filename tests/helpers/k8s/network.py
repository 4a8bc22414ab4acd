"""A bridge network of pods, each with its own network namespace, address and policies.

The caller must run in its own namespaces (`unshare --net --mount`), so that no traffic leaves the network and
everything is removed afterwards. A pod's policies are translated into routing rules, so denied traffic has no route.
The bridge's address represents the node's kubelet and the operator, whose traffic the namespace's policies allow.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from k8s.check.policies import selects
from k8s.check.rendering import Resource

_NET = "10.77.0"
NODE = f"{_NET}.1"
"""The address from which the kubelet probes pods."""

Ports = set[int]


class Network:
    """The network, in which pods have addresses and services have names.

    Args:
        folder: folder for the hosts file that all pods share.
        resources: the rendered objects, among them the policies.
    """

    def __init__(self, folder: Path, resources: list[Resource]) -> None:
        self.hosts = folder / "hosts"
        self.hosts.touch()
        self.resolver = folder / "resolv.conf"
        # Nothing listens at this address, so queries are refused immediately instead of timing out.
        self.resolver.write_text("nameserver 127.0.0.1\n")
        self._policies = [one["spec"] for one in resources if one["kind"] == "NetworkPolicy"]
        self._names: dict[str, str] = {}
        self._labels: dict[str, dict[str, str]] = {}
        run("mount", "--bind", str(self.hosts), "/etc/hosts")
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        Path("/run/netns").mkdir()
        self.name("localhost", "127.0.0.1")
        ip("link", "set", "lo", "up")
        ip("link", "add", "pods", "type", "bridge")
        ip("address", "add", f"{NODE}/24", "dev", "pods")
        ip("link", "set", "pods", "up")

    def join(self, labels: dict[str, str]) -> str:
        """Create a namespace for a pod with these labels; return its address, which is also the namespace's name."""
        number = len(self._labels) + 2
        address = f"{_NET}.{number}"
        ip("netns", "add", address)
        ip("link", "add", f"pod{number}", "type", "veth", "peer", "name", "eth0", "netns", address)
        ip("link", "set", f"pod{number}", "master", "pods", "up")
        ip("-n", address, "address", "add", f"{address}/24", "dev", "eth0")
        ip("-n", address, "link", "set", "eth0", "up")
        ip("-n", address, "link", "set", "lo", "up")
        ip("-n", address, "route", "add", "default", "via", NODE)  # Ray nodes derive their address from this route
        for other, others in self._labels.items():
            self._hold(address, other, self._passes(labels, others), self._passes(others, labels))
            self._hold(other, address, self._passes(others, labels), self._passes(labels, others))
        ip("-n", address, "rule", "add", "priority", "90", "to", NODE, "lookup", "main")
        ip("-n", address, "rule", "add", "priority", "200", "to", f"{_NET}.0/24", "ipproto", "tcp", "prohibit")
        self._labels[address] = labels
        return address

    def name(self, service: str, address: str) -> None:
        """Add a service's name and address to the hosts file that the pods share."""
        self._names[service] = address
        self.hosts.write_text("".join(f"{there}\t{name}\n" for name, there in self._names.items()))

    def take_away(self, address: str) -> None:
        """Disconnect a pod, so that connections to it time out instead of being refused."""
        ip("-n", address, "link", "set", "eth0", "down")

    def _hold(self, pod: str, other: str, out: Ports, back: Ports) -> None:
        """Let a pod send packets to another pod's `out` ports, and reply to that pod from its own `back` ports."""
        for field, ports in (("dport", out), ("sport", back)):
            for first, last in ranges(ports):
                selector = ["to", other, "ipproto", "tcp", field, f"{first}-{last}"]
                ip("-n", pod, "rule", "add", "priority", "100", *selector, "lookup", "main")

    def _passes(self, source: dict[str, str], target: dict[str, str]) -> Ports:
        """Return the ports of the target pod that the source pod, in the same namespace, may reach."""
        out = self._admits("Egress", source, target)
        return out & self._admits("Ingress", target, source)

    def _admits(self, direction: str, pod: dict[str, str], other: dict[str, str]) -> Ports:
        found: Ports = set()
        for policy in self._policies:
            if selects(policy["podSelector"], pod) and direction in policy.get("policyTypes", ["Ingress"]):
                for rule in policy.get(direction.lower(), []):
                    peers = rule.get("from" if direction == "Ingress" else "to", [])
                    if any("podSelector" in peer and selects(peer["podSelector"], other) for peer in _own(peers)):
                        found |= {port for entry in rule["ports"] for port in _range(entry)}
        return found


def _own(peers: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the peers in the pod's own namespace."""
    yield from (peer for peer in peers if "namespaceSelector" not in peer)


def _range(entry: dict[str, Any]) -> range:
    return range(entry["port"], entry.get("endPort", entry["port"]) + 1)


def ranges(ports: Ports) -> Iterator[tuple[int, int]]:
    """Combine the ports into as few ranges as possible, and yield the first and last port of each range."""
    first = last = 0
    for port in sorted(ports):
        if port != last + 1:
            if last:
                yield first, last
            first = port
        last = port
    if last:
        yield first, last


def ip(*arguments: str) -> None:
    run("ip", *arguments)


def run(*command: str) -> None:
    subprocess.run(command, check=True)
