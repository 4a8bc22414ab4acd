"""Installs overlays on the real cluster in KUBECONFIG, each in a namespace that a test creates and removes."""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from k8s import search
from k8s.check import outside, rendering
from k8s.check.rendering import Resource, kubectl

PATIENCE_S = 360
"""Time to wait for the operator, which allows the job that clears Redis to take five minutes."""

ZONE = "topology.kubernetes.io/zone"
LATER = "app.kubernetes.io/component notin (mlflow,migration,serving,redis)"
"""Selects the objects that are applied before the secrets exist."""

SERVING = "app.kubernetes.io/component=serving"


class Installation:
    """An overlay in its own namespace, with dummy secrets.

    Args:
        folder: folder for its kustomization.
        overlay: name of the overlay.
        patches: patches in the kustomization.
    """

    def __init__(self, folder: Path, overlay: str, patches: Sequence[dict[str, Any]] = ()) -> None:
        self.namespace = f"raygenre-test-{uuid.uuid4().hex[:8]}"
        self.overlay = overlay
        self.patches = [*patches]
        self._folder = folder.resolve() / self.namespace

    def __call__(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl in the namespace and return its output."""
        return kubectl("--namespace", self.namespace, *arguments, text=text)

    def apply(self, *options: str) -> None:
        """Apply the overlay as described in the instructions.

        Raises:
            RenderingError: the server rejects an object, or another manager owns one of its fields.
        """
        self._folder.mkdir(exist_ok=True)
        kustomization = {
            "namespace": self.namespace,
            "resources": [os.path.relpath(rendering.OVERLAYS / self.overlay, self._folder)],
            "patches": self.patches,
        }
        (self._folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        kubectl("apply", "--server-side", "--kustomize", str(self._folder), *options)

    def create_secrets(self) -> None:
        """Create every secret that an overlay may need."""
        content = [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name},
                "stringData": dict.fromkeys(keys, "test"),
            }
            for name, keys in outside.SECRETS.items()
        ]
        self("apply", "--server-side", "--filename=-", text=yaml.safe_dump_all(content))

    def apply_search(self, study: str) -> list[Resource]:
        """Apply a search, and return its objects."""
        objects = search.search(self.overlay, study, 8)
        for one in objects:
            one["metadata"]["namespace"] = self.namespace
        self("apply", "--server-side", "--filename=-", text=yaml.safe_dump_all(objects))
        return objects

    def objects(self) -> list[Resource]:
        """Render the overlay, and return its objects."""
        return rendering.parse(kubectl("kustomize", str(self._folder)))

    def found(self, kinds: str, selector: str = "") -> list[Resource]:
        """Return the objects of the given kinds, with their managed fields."""
        return _items("get", kinds, "--namespace", self.namespace, f"--selector={selector}", "--show-managed-fields")

    def workers(self) -> list[Resource]:
        """Return the endpoint's workers that are not being deleted."""
        pods = self.found("pods", f"{SERVING},ray.io/node-type=worker")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def events(self) -> str:
        """Return the events in chronological order."""
        return self("get", "events", "--sort-by=.lastTimestamp")

    def wait(self, what: str, condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Wait until a condition holds; after a timeout, fail with the latest events."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"timed out after {seconds:g} s: {what}\n{self.events()[-4000:]}"
            time.sleep(2)

    def wait_until_ready(self) -> None:
        """Wait until the endpoint is ready."""
        self.wait("the endpoint is ready", lambda: _holds(self.found("rayservices"), "Ready"))

    def remove(self) -> None:
        """Remove everything in an order that lets the operator clear Redis while the namespace still exists."""
        self("delete", "rayjobs,rayservices", "--all", "--wait=false")
        self.wait("Ray's objects are deleted", lambda: not self.found("rayjobs,rayservices,rayclusters"))
        kubectl("delete", "namespace", self.namespace, "--wait=false")
        deadline = time.monotonic() + PATIENCE_S
        while self.namespace in namespaces():
            assert time.monotonic() < deadline, f"the namespace {self.namespace} still exists"
            time.sleep(2)


@contextmanager
def installed(folder: Path, overlay: str, patches: Sequence[dict[str, Any]] = ()) -> Iterator[Installation]:
    """Install an overlay in a new namespace, and remove it afterwards unless the test has already done so."""
    installation = Installation(folder, overlay, patches)
    try:
        installation.apply("--selector", LATER)
        installation.create_secrets()
        installation.apply()
        yield installation
    finally:
        if installation.namespace in namespaces():
            installation.remove()


@contextmanager
def drained(nodes: Sequence[str]) -> Iterator[None]:
    """Evict the endpoint's pods from the nodes, and make the nodes schedulable again afterwards."""
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--grace-period=1", "--timeout=4m")
    try:
        kubectl("drain", *nodes, *options, f"--pod-selector={SERVING}")
        yield
    finally:
        kubectl("uncordon", *nodes)


def has_operator() -> bool:
    """Return whether KubeRay's kinds are installed on the cluster."""
    return "rayservices.ray.io" in kubectl("api-resources", "--api-group=ray.io", "--output=name").split()


def namespaces() -> set[str]:
    """Return the names of all namespaces."""
    return {one["metadata"]["name"] for one in _items("get", "namespaces")}


def priority_classes() -> set[str]:
    """Return the names of all priority classes, which belong to no namespace."""
    return {one["metadata"]["name"] for one in _items("get", "priorityclasses")}


def zones() -> dict[str, list[str]]:
    """Return the nodes of each zone that accept all pods."""
    found: dict[str, list[str]] = {}
    for node in _items("get", "nodes"):
        zone = node["metadata"]["labels"].get(ZONE)
        if zone and not node["spec"].get("unschedulable") and not node["spec"].get("taints"):
            found.setdefault(zone, []).append(node["metadata"]["name"])
    return found


def others(nodes: Sequence[str], namespace: str) -> list[str]:
    """Return the endpoint pods of other namespaces on these nodes, which draining would also evict."""
    return [
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in _items("get", "pods", "--all-namespaces", f"--selector={SERVING}")
        if pod["spec"].get("nodeName") in nodes and pod["metadata"]["namespace"] != namespace
    ]


def owners(resource: Resource, cluster: str) -> set[str]:
    """Return the field managers that own an object's worker groups.

    Args:
        cluster: name of the field in the object's specification that describes the Ray cluster.
    """
    return {
        entry["manager"]
        for entry in resource["metadata"]["managedFields"]
        if "f:workerGroupSpecs" in entry["fieldsV1"].get("f:spec", {}).get(f"f:{cluster}", {})
    }


def _holds(resources: list[Resource], condition: str) -> bool:
    conditions = [one for resource in resources for one in resource.get("status", {}).get("conditions", [])]
    return any(one["type"] == condition and one["status"] == "True" for one in conditions)


def _items(*arguments: str) -> list[Resource]:
    found: list[Resource] = json.loads(kubectl(*arguments, "--output=json"))["items"]
    return found
