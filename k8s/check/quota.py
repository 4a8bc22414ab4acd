"""Checks that the quota has room for the service of a Gateway, and for no other route into the cluster.

A LoadBalancer counts as one, plus one node port for each of its ports: two for Istio's, which adds one of its own.
"""

from collections.abc import Iterator

from k8s.check.peers import gateway
from k8s.check.rendering import Resource, name

SERVICE = {"services.loadbalancers": 1, "services.nodeports": 2}
"""What the service of one Gateway counts."""


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield quotas that differ from what the Gateways need."""
    number = sum(bool(gateway(resource)) for resource in resources)
    for quota in (one for one in resources if one["kind"] == "ResourceQuota"):
        for amount, each in SERVICE.items():
            given, needed = quota["spec"]["hard"].get(amount), number * each
            if given != str(needed):
                yield f"{name(quota)}: {amount} is {given}, but the Gateways need {needed}"
