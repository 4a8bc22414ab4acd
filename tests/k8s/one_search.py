"""A search as an overlay runs it, on one node of Ray, with MLflow and Optuna in PostgreSQL; run by test_commands.py.

The job is submitted as the operator's pod submits it. Only folders, secrets and MLflow's address are other than on a
cluster, and that there is no GPU.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import requests

from k8s import search
from k8s.check.rendering import ROOT
from tests.k8s.containers import Container
from tests.k8s.one_node import CPUS, TOKEN, until_200
from tests.k8s.test_mlflow import PASSWORDS, make_users, mlflow

OVERLAY = "gpu"
OPTIONS = ("--epochs", "1", "--top-k", "1", "--batch-size", "8", "--scheduler", "none")


def main(work: Path, data: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    variables = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    (work / "mlflow").mkdir()
    with mlflow(OVERLAY, work / "mlflow", variables) as uri:
        make_users(uri)
        resources = search.search(OVERLAY, "first", 1, *OPTIONS)
        [job] = [one for one in resources if one["kind"] == "RayJob"]
        places = {"http://mlflow:5000": uri, "/results": str(work / "results"), "/home/raygenre": str(work)}
        user = {"MLFLOW_TRACKING_USERNAME": "search", "MLFLOW_TRACKING_PASSWORD": PASSWORDS["search"]}
        secrets = {"mlflow-search": user, "postgres-search": variables | {"PGDATABASE": "optuna"}}
        head = Container(resources, "RayJob search-first, head", secrets, places)
        here = {"GPUS_PER_TRIAL": "0", "CPUS_PER_TRIAL": "1", "RAYGENRE_DATA": str(data)}
        node = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "RAY_AUTH_MODE": "token"}
        os.environ |= head.environment | here | node | {"RAY_AUTH_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}
        params = job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"] | {"num-cpus": str(CPUS)}
        with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
            options = [f"--{name}={value}" for name, value in params.items()]
            command = ["ray", "start", "--head", "--block", f"--temp-dir={folder}", *options]
            subprocess.Popen(command, stdout=sys.stderr)
            until_200(52365, "/api/healthz")
            entrypoint = shlex.split(job["spec"]["entrypoint"].replace("/app/", f"{ROOT}/"))
            address = ["--address", "http://127.0.0.1:8265", "--submission-id", "first"]
            subprocess.run(["ray", "job", "submit", *address, "--", *entrypoint], check=True)
        champion = requests.get(
            f"{uri}/api/2.0/mlflow/registered-models/alias",
            params={"name": "raygenre", "alias": "champion"},
            auth=("serving", PASSWORDS["serving"]),
            timeout=30,
        )
        assert champion.json()["model_version"]["version"] == "1", champion.text


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
