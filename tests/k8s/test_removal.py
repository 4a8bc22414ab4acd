"""The commands that remove an installation, run by a real kubectl against a fake API server."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from k8s.check.rendering import Resource
from tests.helpers.k8s.api_server import ApiServer, running
from tests.helpers.k8s.pages import page
from tests.helpers.markdown import blocks

RAY = "/apis/ray.io/v1/namespaces/raygenre"
CORE = "/api/v1/namespaces/raygenre"
CLUSTER = f"{RAY}/rayclusters/endpoint-abcde"
VOLUME = "/api/v1/persistentvolumes/volume-1"
PRIORITIES = [f"/apis/scheduling.k8s.io/v1/priorityclasses/raygenre-{kind}" for kind in ("serving", "search")]
KINDS = {
    ("v1", "Namespace"),
    ("v1", "PersistentVolume"),
    ("v1", "PersistentVolumeClaim"),
    ("ray.io/v1", "RayCluster"),
    ("ray.io/v1", "RayJob"),
    ("ray.io/v1", "RayService"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
}

KEEP, DELETE_RAY, DELETE_REST, _, RELEASE = [one.text for one in blocks(page("removal")) if one.language == "sh"]


@dataclass
class Installation(ApiServer):
    """An installation whose Ray cluster ends after its RayService, but never while the namespace is being deleted."""

    def watch(self, path: str) -> list[dict[str, Any]]:
        """Remove the cluster once a command waits for its deletion."""
        gone = None if f"{RAY}/rayservices/endpoint" in self.objects else self.objects.pop(CLUSTER, None)
        return [{"type": "DELETED", "object": gone}] if gone else []

    def delete(self, path: str) -> int:
        if path == CORE and CLUSTER in self.objects:
            return 409  # a real server would accept this, but the namespace would never disappear
        return super().delete(path)


def installation() -> Installation:
    there = Installation(KINDS, frozenset(), [["raygenre"]])
    there.objects = {
        path: item(path, version, kind)
        for path, version, kind in (
            (CORE, "v1", "Namespace"),
            (f"{CORE}/persistentvolumeclaims/results", "v1", "PersistentVolumeClaim"),
            (VOLUME, "v1", "PersistentVolume"),
            (f"{RAY}/rayjobs/search-first", "ray.io/v1", "RayJob"),
            (f"{RAY}/rayservices/endpoint", "ray.io/v1", "RayService"),
            (CLUSTER, "ray.io/v1", "RayCluster"),
            *((path, "scheduling.k8s.io/v1", "PriorityClass") for path in PRIORITIES),
        )
    }
    there.objects[f"{CORE}/persistentvolumeclaims/results"]["spec"] = {"volumeName": "volume-1"}
    there.objects[CLUSTER]["metadata"]["finalizers"] = ["ray.io/gcs-ft-redis-cleanup-finalizer"]
    return there


def item(path: str, version: str, kind: str) -> Resource:
    metadata = {"name": path.rpartition("/")[2], "uid": path, "resourceVersion": "1"}
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": metadata | ({"namespace": "raygenre"} if "/raygenre/" in path else {}),
    }


def run(there: Installation, folder: Path, *commands: str) -> "subprocess.CompletedProcess[str]":
    with running(folder, there) as config:
        settings = os.environ | {"KUBECONFIG": str(config), "KUBECACHEDIR": str(folder)}
        script = ["bash", "-e", "-c", "\n".join(commands)]
        return subprocess.run(script, env=settings, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.integration
def test_an_installation_is_removed_in_order(tmp_path: Path) -> None:
    there = installation()
    done = run(there, tmp_path, KEEP, DELETE_RAY, DELETE_REST)
    assert done.returncode == 0, done.stderr
    assert there.changed == [
        ("PATCH", VOLUME),
        ("DELETE", f"{RAY}/rayjobs/search-first"),
        ("DELETE", f"{RAY}/rayservices/endpoint"),
        ("DELETE", CORE),
        *(("DELETE", path) for path in PRIORITIES),
    ]
    assert there.objects[VOLUME]["spec"] == {"persistentVolumeReclaimPolicy": "Retain"}


@pytest.mark.integration
def test_a_namespace_that_was_deleted_first_is_released(tmp_path: Path) -> None:
    there = installation()
    assert run(there, tmp_path, DELETE_REST).returncode != 0
    done = run(there, tmp_path, RELEASE)
    assert done.returncode == 0, done.stderr
    for kind in ("rayjobs/search-first", "rayservices/endpoint", "rayclusters/endpoint-abcde"):
        assert ("PATCH", f"{RAY}/{kind}") in there.changed
    assert "finalizers" not in there.objects[CLUSTER]["metadata"]
