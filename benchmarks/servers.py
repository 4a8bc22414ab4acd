"""The servers that `benchmarks/serving.py` compares: commands, requests and responses."""

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.processes import family, start_times
from raygenre.system.ports import free_port
from serve.network import proxy_environment

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent

Probabilities = dict[str, float]


@dataclass(frozen=True)
class Server:
    """How to start a server, send requests and read responses.

    Attributes:
        command: command line with the placeholders {port}, {model}, {config} and {stock}, which `running` fills in.
        direct: whether to send requests directly to a replica's port.
        probabilities: function that extracts the probabilities from a response's JSON.
        body: function that turns a file into a request body.
    """

    name: str
    command: str
    direct: bool = False
    path: str = "/predict"
    probabilities: Callable[[Any], Probabilities] = dict
    content_type: str = "application/octet-stream"
    body: Callable[[bytes], bytes] = bytes
    environment: dict[str, str] = field(default_factory=dict)


def mlflow_body(file: bytes) -> bytes:
    table = {"columns": ["file"], "data": [[base64.b64encode(file).decode()]]}
    return json.dumps({"dataframe_split": table}).encode()


def mlflow_probabilities(response: Any) -> Probabilities:
    row = response["predictions"][0]
    return {name: row[name] for name in row if name not in ("genre", "confidence", "uncertain")}


OURS = Server(
    "raygenre",
    "serve run --address local {config}",
    path="/v1/predict",
    probabilities=lambda response: response["probabilities"],
    environment=proxy_environment.DEFAULTS | proxy_environment.MACHINE,
)
PLAIN = {"RAY_SERVE_ENABLE_HA_PROXY": "0"}
PEERS = (
    Server("FastAPI + uvicorn", "uvicorn benchmarks.peers.plain:app --port {port} --no-access-log"),
    replace(OURS, name="raygenre, one replica's port", direct=True),
    replace(
        OURS,
        name="raygenre without Ray",
        command="uvicorn benchmarks.peers.without_ray:app --port {port} --no-access-log --log-level warning",
    ),
    replace(OURS, name="raygenre, Ray's Python proxy", environment=OURS.environment | PLAIN),
    Server("LitServe", "python -m benchmarks.peers.lit {port}"),
    Server(
        "mlflow models serve",
        "mlflow models serve --model-uri {model} --env-manager local --port {port}",
        path="/invocations",
        probabilities=mlflow_probabilities,
        content_type="application/json",
        body=mlflow_body,
    ),
    Server("Ray Serve, defaults", "serve run --address local {stock}", path="/"),
)


@contextmanager
def running(server: Server, work: Path, image: bytes) -> Iterator[tuple[int, int]]:
    """Start a server and wait for its first response; yield its port and process id.

    Args:
        work: folder with the classifier and the model, in which the server gets a folder of its own.
    """
    port, direct_port = free_port(), free_port()
    own = Path(tempfile.mkdtemp(dir=work))
    for name, application in (("config", "serve.app:app"), ("stock", "benchmarks.peers.stock_serve:app")):
        options = {"host": "127.0.0.1", "port": port}
        applications = [{"name": "default", "route_prefix": "/", "import_path": application}]
        (own / f"{name}.yaml").write_text(json.dumps({"http_options": options, "applications": applications}))
    values = {"port": port, "model": work / "model"} | {name: own / f"{name}.yaml" for name in ("config", "stock")}
    one_port = {
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(direct_port),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(direct_port + 1),  # outside the range
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAYGENRE_")}
    environment = inherited | {
        "PYTHONPATH": str(ROOT),
        "CLASSIFIER": str(work / "classifier"),
        "RAYGENRE_MODEL_URI": str(work / "classifier"),
        "RAYGENRE_STORAGE": str(own / "storage"),
        "OMP_NUM_THREADS": "1",
        **server.environment,
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),  # two servers may run at the same time
        **(one_port if server.direct else {}),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # mlflow looks up uvicorn on PATH
    }
    command = server.command.format(**values).split()
    log = own / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [BIN / command[0], *command[1:]],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{server.name} did not start:\n{log.read_text()}")
            connection = http.client.HTTPConnection("127.0.0.1", direct_port if server.direct else port, timeout=30)
            with suppress(OSError, http.client.HTTPException), closing(connection):
                connection.request("POST", server.path, server.body(image), {"Content-Type": server.content_type})
                if connection.getresponse().status == 200:
                    break
            time.sleep(0.3)
        yield direct_port if server.direct else port, process.pid
    finally:
        started = start_times(family(process.pid))
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid, _ in started.items() & start_times(started).items():  # processes that the server left running
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
