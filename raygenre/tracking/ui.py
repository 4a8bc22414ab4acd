"""MLflow's UI for an embedded database, as a process on this machine."""

import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from raygenre.errors import RaygenreError
from raygenre.system.storage import Storage

HOST = "127.0.0.1"  # the UI can change and delete runs and requires no password

_POLL = 0.1  # s between two checks of whether the server responds
_PATIENCE = 10.0  # s allowed for the server to stop before it is killed
_LAST_LINES = 3  # lines of the server's output to show if it ends


class UiError(RaygenreError, RuntimeError):
    """MLflow's server exited; the message contains its last lines of output."""


@contextmanager
def running(storage: Storage, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Start MLflow's server, wait until it responds, and stop it when the context exits.

    The server has a single worker, because every worker imports MLflow, which takes seconds of CPU time. If several
    workers did this at the same time on a machine with few cores, uvicorn would restart every worker that takes more
    than 5 s to respond.
    MLflow's processes for jobs such as evaluations of language models are not started unless
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION is set.

    Raises:
        UiError: the server exits before it responds.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level=warning"]
    defaults = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    database = {"MLFLOW_BACKEND_STORE_URI": storage.tracking_uri}  # not an argument, because it may contain a password
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=defaults | os.environ | database,
        )
        try:
            while not _answers(port):
                if process.poll() is not None:
                    output.seek(0)
                    lines = output.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
                    raise UiError(f"MLflow's server exited with status {process.returncode}: {' / '.join(lines)}")
                time.sleep(_POLL)
            yield process
        finally:
            _end(process)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)  # unlike urllib, http.client ignores HTTP_PROXY
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    process.kill()
    process.wait()
