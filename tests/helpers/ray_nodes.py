"""A Ray cluster of several nodes on one machine, with the job API and token authentication.

Each node has its own processes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.mlflow_server import free_port

TOKEN = "a-token-that-only-these-tests-use-0123456789abcdef"


class RayNodes:
    """The cluster.

    Attributes:
        address: address of its dashboard and job API.
        environment: environment variables that Ray's clients need to connect to the cluster.

    Args:
        environment: additional environment variables for the nodes.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # short enough for Ray's sockets
        programs = str(Path(sys.executable).parent)
        self._variables = {
            **os.environ,
            **self.environment,
            **(environment or {}),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "RAY_DISABLE_IMPORT_WARNING": "1",
        }
        self._variables.pop("RAY_ADDRESS", None)
        # Simulate nodes on which raygenre is not installed, so that jobs must upload it.
        missing = self._folder / "missing" / "raygenre"
        missing.mkdir(parents=True)
        (missing / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'raygenre'\")\n")
        self._variables["PYTHONPATH"] = str(missing.parent)
        self._port, dashboard = free_port(), free_port()
        self.address = f"http://127.0.0.1:{dashboard}"
        self._dashboard = dashboard
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, cpus: int) -> None:
        """Start the head node, and wait until it accepts jobs."""
        options = [f"--port={self._port}", f"--dashboard-port={self._dashboard}", "--dashboard-host=127.0.0.1"]
        self._start("head", "--head", *options, f"--temp-dir={self._folder}", f"--num-cpus={cpus}")
        deadline = time.monotonic() + 120
        while not self._accepts_jobs():
            assert self._nodes["head"].poll() is None, (self._folder / "head.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.5)

    def add(self, name: str, cpus: int) -> None:
        """Start another node, and wait until it has joined the cluster."""
        options = [f"--address=127.0.0.1:{self._port}", f"--num-cpus={cpus}", f"--node-name={name}"]
        self._start(name, *options)
        deadline = time.monotonic() + 120
        while name not in self._joined():
            assert time.monotonic() < deadline, (self._folder / f"{name}.log").read_text()
            if self._nodes[name].poll() is not None:  # another process took one of its ports
                self._start(name, *options)
            time.sleep(0.5)

    def kill(self, name: str) -> None:
        """Kill all processes of a node."""
        process = self._nodes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def remove(self) -> None:
        for name in list(self._nodes):
            self.kill(name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, name: str, *options: str) -> None:
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
        with (self._folder / f"{name}.log").open("wb") as log:
            self._nodes[name] = subprocess.Popen(
                # Otherwise, all nodes and clusters on this machine would use the same port for the agent.
                [*command, "--node-ip-address=127.0.0.1", f"--dashboard-agent-listen-port={free_port()}", *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._variables,
                cwd=self._folder,
                start_new_session=True,
            )

    def _accepts_jobs(self) -> bool:
        return self._get("api/jobs/") is not None

    def _joined(self) -> set[str]:
        """Return the names of the nodes that are alive."""
        nodes = (self._get("api/v0/nodes") or {"data": {"result": {"result": []}}})["data"]["result"]["result"]
        return {node["node_name"] for node in nodes if node["state"] == "ALIVE"}

    def _get(self, path: str) -> Any:
        """Return the dashboard's response, or None if it does not respond."""
        request = urllib.request.Request(f"{self.address}/{path}", headers={"Authorization": f"Bearer {TOKEN}"})
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return json.load(response)
        except (OSError, urllib.error.URLError):
            return None


@contextmanager
def ray_nodes(cpus: int, environment: Mapping[str, str] | None = None) -> Iterator[RayNodes]:
    """Run a cluster with a head node for the duration of this context."""
    nodes = RayNodes(environment)
    try:
        nodes.start(cpus)
        yield nodes
    finally:
        nodes.remove()
