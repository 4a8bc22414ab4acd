"""Checks that the quota allows a Gateway's service, and no other route into the cluster.

A LoadBalancer counts as one load balancer plus a node port for each of its ports. Istio's service has two ports,
because Istio adds one.
"""

from collections.abc import Iterator

from k8s.check.peers import gateway
from k8s.check.rendering import Resource, name

SERVICE = {"services.loadbalancers": 1, "services.nodeports": 2}
"""The amounts that the service of one Gateway uses."""


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield quotas that differ from the amounts that the Gateways need."""
    number = sum(bool(gateway(resource)) for resource in resources)
    for quota in (one for one in resources if one["kind"] == "ResourceQuota"):
        for amount, each in SERVICE.items():
            given, needed = quota["spec"]["hard"].get(amount), number * each
            if given != str(needed):
                yield f"{name(quota)}: {amount} is {given}, but the Gateways need {needed}"
