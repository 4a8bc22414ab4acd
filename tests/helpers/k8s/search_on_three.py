"""Runs an overlay's search on three nodes, with MLflow and Optuna in PostgreSQL.

test_commands.py runs it. This module acts as the operator: it starts the pods and submits the job. A folder replaces
S3, and no GPU is used.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path

import requests

from k8s import search
from k8s.check import outside, rendering
from tests.helpers.k8s import ray_nodes
from tests.helpers.k8s.mlflow_users import PASSWORDS, make_users
from tests.helpers.k8s.running import Running, Site

OVERLAY, JOB, TRIALS = "gpu", "RayJob search-first", 3
OPTIONS = ("--epochs", "1", "--top-k", "1", "--batch-size", "8", "--scheduler", "none", "--promote")
MLFLOW = "http://mlflow:5000"
TRIAL = "ImplicitFunc"  # class of Ray Tune's actors


def main(work: Path, data: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    secrets = {name: dict.fromkeys(keys, "unused-unused-unused") for name, keys in outside.SECRETS.items()}
    secrets["mlflow-server"]["admin-password"] = PASSWORDS["admin"]
    secrets["mlflow-search"] = {"MLFLOW_TRACKING_USERNAME": "search", "MLFLOW_TRACKING_PASSWORD": PASSWORDS["search"]}
    secrets |= {"postgres-mlflow": variables, "postgres-search": variables | {"PGDATABASE": "optuna"}}
    resources = [*rendering.render(OVERLAY), *search.search(OVERLAY, "first", TRIALS, *OPTIONS)]
    places = {"s3://raygenre-mlflow": "/tmp/artifacts"}
    site = Site(work, resources, secrets, places=places, shared=[Path(variables["PGHOST"])])
    shutil.copytree(data, site.claim("results") / "tracks")

    site.run("Job mlflow-migration", "migration").finish()
    site.run("Deployment mlflow", "mlflow", service="mlflow").wait()
    make_users(MLFLOW)
    settings = {"GPUS_PER_TRIAL": "0", "RAYGENRE_DATA": "/results/tracks"}
    head = site.run(f"{JOB}, head", "head", settings=settings)
    head.wait()
    workers = []
    for number in (1, 2):
        workers.append(site.run(f"{JOB}, workers gpu", f"worker-{number}", settings=settings))
        workers[-1].wait()

    [job] = [one for one in resources if one["kind"] == "RayJob" and one["metadata"]["name"] == "search-first"]
    address = f"http://{ray_nodes.head_service(head.container.pod)}:8265"
    submit = ["ray", "job", "submit", "--address", address, "--submission-id", "first", "--"]
    command = [*submit, *shlex.split(job["spec"]["entrypoint"])]
    token = ray_nodes.token(head.container.pod, secrets)
    submitter = site.run(f"{JOB}, submitter", "submitter", command=command, settings=token)
    submitter.finish(480)

    champion = requests.get(
        f"{MLFLOW}/api/2.0/mlflow/registered-models/alias",
        params={"name": "raygenre", "alias": "champion"},
        auth=("search", PASSWORDS["search"]),
        timeout=30,
    )
    assert champion.json()["model_version"]["version"] == "1", champion.text
    found = places_of_trials(head)
    sys.stdout.write(f"trials ran on {found}\n")
    assert found == {worker.address for worker in workers}, found


def places_of_trials(head: Running) -> set[str]:
    """Return the addresses of the nodes on which trials ran, according to the head."""
    header = {"Authorization": f"Bearer {head.environment['RAY_AUTH_TOKEN']}"}

    def records(kind: str) -> list[dict[str, str]]:
        answer = requests.get(f"http://{head.address}:8265/api/v0/{kind}", headers=header, timeout=30)
        found: list[dict[str, str]] = answer.json()["data"]["result"]["result"]
        return found

    addresses = {node["node_id"]: node["node_ip"] for node in records("nodes")}
    return {addresses[actor["node_id"]] for actor in records("actors") if actor["class_name"] == TRIAL}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
