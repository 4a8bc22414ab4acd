"""Runs pods of a rendered overlay as local processes in Linux namespaces, as on Kubernetes.

Each pod has its own address and process ids, the manifest's volumes, and a read-only root filesystem. Its first
container has the manifest's command, settings and probes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import requests

from k8s.check.pods import HEAD, WORKER
from k8s.check.rendering import ROOT, Resource
from tests.helpers.k8s import ray_nodes
from tests.helpers.k8s.containers import Container
from tests.helpers.k8s.network import Network
from tests.helpers.k8s.pod_root import Mount
from tests.helpers.processes import children, until

APP = "/app"
PATIENCE = 120  # s
_VENV = Path(sys.prefix).resolve()
_IMAGE = {
    "PYTHONPATH": APP,
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "RAY_SERVE_HAPROXY_BINARY_PATH": f"{APP}/serve/network/haproxy.sh",
    "RAY_USAGE_STATS_ENABLED": "0",
}


class Site:
    """The pods' environment: their network and shared volume claims, and the secrets that users would have created.

    Args:
        shared: local folders that every pod mounts at the same path.
    """

    def __init__(
        self,
        folder: Path,
        resources: list[Resource],
        secrets: dict[str, dict[str, str]],
        *,
        places: Mapping[str, str] | None = None,
        shared: Sequence[Path] = (),
    ) -> None:
        self.folder = folder
        self.resources = resources
        self.secrets = secrets
        self.places = places or {}
        self.shared = shared
        self.network = Network(folder, resources)

    def claim(self, name: str) -> Path:
        """Return the folder of a volume claim; the folder is kept after the pods end."""
        place = self.folder / "claims" / name
        place.mkdir(parents=True, exist_ok=True)
        return place

    def run(self, where: str, name: str, **changes: Any) -> "Running":
        """Start the pod that the manifest check calls `where`, and register its service."""
        return Running(self, where, name, **changes)


class Running:
    """A running pod.

    Args:
        where: the pod's name as shown in the messages of the manifest check.
        name: name of the pod and of its folder.
        service: host name by which other pods reach it.
        settings: environment variables to add to those of the manifest; an empty string removes a variable.
        command: command that replaces the container's own command, just as the operator replaces it.
    """

    def __init__(
        self,
        site: Site,
        where: str,
        name: str,
        *,
        service: str = "",
        settings: Mapping[str, str] | None = None,
        command: list[str] | None = None,
    ) -> None:
        self.container = Container(site.resources, where, site.secrets, site.places)
        pod = self.container.pod
        self.name, self._site = name, site
        self.address = site.network.join(pod.labels)
        self._folder = site.folder / "pods" / name
        self._folder.mkdir(parents=True)
        self.log = self._folder / "log"
        added: dict[str, str] = {}
        if pod.role in (HEAD, WORKER):
            command, added = ray_nodes.command(pod), ray_nodes.settings(pod, site.secrets)
            service = ray_nodes.head_service(pod) if pod.role == HEAD else service
        if service:
            site.network.name(service, self.address)
        path = {"PATH": f"{_VENV / 'bin'}:{os.environ['PATH']}"}
        environment = _IMAGE | path | added | self.container.environment | dict(settings or {})
        self.environment = {key: value for key, value in environment.items() if value}
        self._process = self._start(command or self.container.command)
        until(lambda: bool(children(self._process.pid)))
        [self._first] = children(self._process.pid)

    def ready(self) -> bool:
        """Return whether the readiness probe succeeds."""
        probe = self.container.spec["readinessProbe"]
        if "exec" in probe:
            return self.call(*probe["exec"]["command"]).returncode == 0
        ports = {port["name"]: port["containerPort"] for port in self.container.spec["ports"]}
        return self.answers(ports[probe["httpGet"]["port"]], probe["httpGet"]["path"])

    def answers(self, port: int, path: str) -> bool:
        """Return whether the pod responds with 200 to a request from the kubelet."""
        try:
            return requests.get(f"http://{self.address}:{port}{path}", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def wait(self, what: Callable[[], bool] | None = None) -> None:
        """Wait until the pod is ready, or until the given condition holds; fail if the pod ends first."""
        deadline = time.monotonic() + PATIENCE
        while not (what or self.ready)():
            assert self._process.poll() is None, f"{self.name} has ended\n{self.said()}"
            assert time.monotonic() < deadline, f"{self.name} is not ready\n{self.said()}"
            time.sleep(0.5)

    def finish(self, seconds: float = PATIENCE) -> None:
        """Wait until the pod ends; fail if its exit status is not 0."""
        assert self._process.wait(seconds) == 0, self.said()

    def call(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in the pod, as `kubectl exec` does."""
        enter = ["nsenter", f"--target={self._first}", "--net", "--mount", "--pid", "--root", "--wd"]
        return subprocess.run([*enter, *command], env=self.environment, capture_output=True, text=True, check=False)

    @property
    def namespace(self) -> Path:
        """The pod's PID namespace, by which its processes can be recognised."""
        return Path(f"/proc/{self._first}/ns/pid").readlink()

    def kill(self) -> None:
        """Kill all of the pod's processes at once, then disconnect its address."""
        os.kill(self._first, signal.SIGKILL)  # the kernel then kills its other processes
        self._process.wait()
        self._site.network.take_away(self.address)
        shutil.rmtree(self._folder / "volumes", ignore_errors=True)

    def said(self) -> str:
        """Return the end of the pod's log."""
        return self.log.read_text(errors="replace")[-8000:]

    def _start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        root = self._folder / "root"
        root.mkdir()
        description = self._folder / "description.json"
        wanted = {"root": str(root), "folder": APP, "command": command, "environment": self.environment}
        description.write_text(json.dumps(wanted | {"mounts": [asdict(mount) for mount in self._mounts()]}))
        spaces = [f"--net=/run/netns/{self.address}", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
        build = [sys.executable, "-m", "tests.helpers.k8s.pod_root", str(description)]
        with self.log.open("ab") as log:
            return subprocess.Popen(["nsenter", *spaces, *build], cwd=ROOT, stdout=log, stderr=log)

    def _mounts(self) -> list[Mount]:
        volumes = {one["name"]: one for one in self.container.pod.spec.get("volumes", [])}
        network = self._site.network
        found = [Mount("/etc/hosts", str(network.hosts)), Mount("/etc/resolv.conf", str(network.resolver))]
        found += [Mount(at, str(source), read_only=True) for at, source in ((APP, ROOT), (str(_VENV), _VENV))]
        found += [Mount(str(folder), str(folder)) for folder in self._site.shared]
        for wanted in self.container.spec.get("volumeMounts", []):
            # The claims of a StatefulSet are not among the volumes of its template.
            volume = volumes.get(wanted["name"], {"persistentVolumeClaim": {"claimName": wanted["name"]}})
            memory = volume.get("emptyDir", {}).get("medium") == "Memory"
            source = "" if memory else str(self._source(volume, wanted["name"]))
            size = str(volume["emptyDir"]["sizeLimit"]).removesuffix("i") if memory else ""
            found.append(Mount(wanted["mountPath"], source, size, read_only=wanted.get("readOnly", False)))
        return found

    def _source(self, volume: dict[str, Any], name: str) -> Path:
        if "persistentVolumeClaim" in volume:
            return self._site.claim(volume["persistentVolumeClaim"]["claimName"])
        place = self._folder / "volumes" / name
        place.mkdir(parents=True)
        if "emptyDir" not in volume:
            for path, text in self.container.files(volume).items():
                (place / path).write_text(text)
        return place
