"""The endpoint as an overlay configures it, on one node of Ray; run in namespaces of its own by test_commands.py.

The node is started with the worker's settings and the ports of rayStartParams, and gets serveConfigV2 in the way in
which the operator sends it. Only folders, secrets and MLflow's address are other than on a cluster.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests
import torch
import yaml

from k8s.check import rendering
from raygenre.spectrogram import levels, write_png
from raygenre.synthesis import synthesise
from tests.endpoint.serving import new_storage
from tests.k8s.containers import Container

KEY, TOKEN = "a-key-of-somebody", "a-token-that-the-operator-knows"
PATIENCE = 300  # s
CPUS = 2


def main(work: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    storage = new_storage(work / "storage")
    (work / "keys").write_text(f"{KEY}\n")
    resources = rendering.render("dev")
    [service] = [one for one in resources if one["kind"] == "RayService"]
    places = {
        "/home/raygenre/results": str(storage.root),
        "/home/raygenre": str(work),
        "/etc/raygenre/keys/keys": str(work / "keys"),
        "http://mlflow:5000": storage.tracking_uri,
    }
    worker = Container(resources, "RayService endpoint, workers replicas", {"mlflow-serving": {}}, places)
    node = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "RAY_AUTH_MODE": "token"}
    os.environ |= worker.environment | node | {"RAY_AUTH_TOKEN": TOKEN}
    params = service["spec"]["rayClusterConfig"]["headGroupSpec"]["rayStartParams"] | {"num-cpus": str(CPUS)}
    options = [f"--{name}={value}" for name, value in params.items()]
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = ["ray", "start", "--head", "--block", f"--temp-dir={folder}", *options]
        subprocess.Popen(command, stdout=sys.stderr)
        probes = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
        until_200(52365, probes["livenessProbe"]["httpGet"]["path"])
        config = yaml.safe_load(service["spec"]["serveConfigV2"])
        place = "http://127.0.0.1:8265/api/serve/applications/"
        assert requests.put(place, json=config, timeout=30).status_code == 401, "the dashboard asks for no token"
        sent = requests.put(place, json=config, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
        assert sent.ok, sent.text
        until_200(8000, probes["readinessProbe"]["httpGet"]["path"])
        picture = write_png(levels(torch.from_numpy(synthesise("bells", seed=0))).numpy())
        predict = "http://127.0.0.1:8000/v1/predict"
        assert requests.post(predict, data=picture, timeout=30).status_code == 401
        answer = requests.post(predict, data=picture, headers={"X-API-Key": KEY}, timeout=30)
        assert answer.json()["genre"] == "bells", answer.text


def until_200(port: int, path: str) -> None:
    """Wait as a probe does."""
    deadline = time.monotonic() + PATIENCE
    status = 0
    while status != 200:
        assert time.monotonic() < deadline, f"{path} on port {port} answers {status}"
        time.sleep(1)
        try:
            status = requests.get(f"http://127.0.0.1:{port}{path}", timeout=5).status_code
        except requests.RequestException:
            status = 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
