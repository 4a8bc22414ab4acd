"""A real local `mlflow server` that tests can kill and restart."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from raygenre.system.storage import Storage
from raygenre.tracking.server import Server
from tests.helpers.storages import empty_storage


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MlflowServer:
    """The server's process group. By default, the database and the artifacts are in the same folder."""

    def __init__(
        self,
        folder: Path,
        *,
        database: str = "",
        artifacts: str = "",
        options: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._own_database = not database
        self._options = (
            *("--backend-store-uri", database or f"sqlite:///{folder / 'mlflow.db'}"),
            *("--artifacts-destination", artifacts or str(folder / "artifacts")),
            *options,
        )
        self._environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(environment or {})}
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._own_database and not (self.folder / "mlflow.db").exists():
            empty_storage(self.folder)
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            *self._options,
        ]  # fmt: skip
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | self._environment,
            )
        deadline = time.monotonic() + 240
        while not self._healthy():
            assert self._process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill the server and its workers."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def storage(self, root: Path) -> Storage:
        return Storage(root, self.uri)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False


def values(server: Server, run_id: str, name: str) -> list[tuple[int, float]]:
    """Return all values of a metric in MLflow, duplicates included, ordered by step."""
    return sorted((metric.step, metric.value) for metric in server.client.get_metric_history(run_id, name))
