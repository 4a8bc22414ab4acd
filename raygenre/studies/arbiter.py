"""The arbiter of a Ray cluster: an actor that distributes the places among the studies.

If the arbiter's process or node dies, Ray restarts the arbiter. The arbiter then continues where it stopped, because
its state is in the database of studies. It uses none of the cluster's CPUs. When there have been no studies for a
while, it exits, and the next driver starts a new arbiter.
"""

import hashlib
import os
import threading
import time
import traceback

import ray
from ray.autoscaler.sdk import request_resources
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from sqlalchemy import make_url

from raygenre.studies.grants import share_out
from raygenre.studies.shares import Claim, Node
from raygenre.studies.store import StudiesError, StudyStore

PERIOD = 1.0  # s
IDLE_SECONDS = 600.0
NAMESPACE = "raygenre"
_MAX_BUNDLES = 1000  # maximum number of bundles to request from the autoscaler


def ensure_arbiter(store: StudyStore, scope: str) -> bool:
    """Start the connected cluster's arbiter if none is running; return False if no cluster is connected yet.

    Args:
        scope: the name of the cluster in the database.
    """
    if not ray.is_initialized():
        return False
    url = store.url.render_as_string(hide_password=False)
    # The name depends on the database, because services with different databases may share one cluster.
    name = f"studies-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    # If the database is a file, it is on the driver's machine.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    ray.remote(Arbiter).options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        scheduling_strategy=here,
    ).remote(url, scope)
    return True


class Arbiter:
    """The arbiter as a Ray actor.

    Args:
        url: URL of the database of studies.
        scope: the name of the cluster in the database.
    """

    def __init__(self, url: str, scope: str) -> None:
        self._store = StudyStore(make_url(url))
        self._scope = scope
        self._requested: list[dict[str, float]] | None = None
        self._self = ray.get_runtime_context().current_actor
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._share_out()
        except Exception:  # noqa: BLE001 (whatever the error is, a new process may work)
            traceback.print_exc()
            os._exit(1)  # so that Ray restarts the actor instead of keeping one that does nothing

    def _share_out(self) -> None:
        busy = time.monotonic()
        while time.monotonic() - busy < IDLE_SECONDS:
            try:
                if claims := share_out(self._store, self._scope, _nodes()):
                    busy = time.monotonic()
                self._request_nodes(claims)
            except StudiesError:  # the drivers keep their last shares until the database is back
                busy = time.monotonic()
            time.sleep(PERIOD)
        ray.kill(self._self, no_restart=True)

    def _request_nodes(self, claims: list[Claim]) -> None:
        """Request nodes for these claims from the cluster's autoscaler, within its limits."""
        bundles = [
            {kind: amount for kind, amount in (("CPU", claim.cpus), ("GPU", claim.gpus)) if amount}
            for claim in claims
            for _ in range(claim.places)
        ][:_MAX_BUNDLES]
        if bundles != self._requested:
            request_resources(bundles=bundles)
            self._requested = bundles


def _nodes() -> list[Node]:
    offered = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(float(node.get("CPU", 0)), float(node.get("GPU", 0))) for node in offered]
