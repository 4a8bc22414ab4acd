"""A team's real servers: MLflow with users and allowed hosts, on PostgreSQL and an S3 store."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from raygenre.tracking.server import Server
from tests.helpers.mlflow_server import MlflowServer, free_port
from tests.helpers.postgres import Postgres, running

ADMIN = ("admin", "adm1n-pass-word")
SINGER = ("singer", "s1nger-pass-word")
GUEST = ("guest", "gu3st-pass-word")
BUCKET = "raygenre"
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True)
class Team:
    """The running servers.

    Attributes:
        postgres: server with databases for MLflow, MLflow's users and Optuna.
        mlflow: tracking server that requires a password.
        s3: client of the store.
        study_url: URL of Optuna's database.
    """

    postgres: Postgres
    mlflow: MlflowServer
    s3: Any
    study_url: str


@pytest.fixture(scope="package")
def postgres() -> Iterator[Postgres]:
    with running() as postgres:
        yield postgres


@pytest.fixture(scope="package")
def s3() -> Iterator[Any]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | KEYS, start_new_session=True
    )
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name=KEYS["AWS_DEFAULT_REGION"],
    )
    deadline = time.monotonic() + 120
    try:
        while True:
            assert server.poll() is None
            assert time.monotonic() < deadline
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                break
            time.sleep(0.2)
        client.create_bucket(Bucket=BUCKET)
        yield client
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture(scope="package")
def team(postgres: Postgres, s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {postgres.create('users')}\nadmin_username = {ADMIN[0]}\n"
    )
    mlflow = MlflowServer(
        folder,
        database=postgres.create("mlflow"),
        artifacts=f"s3://{BUCKET}/artifacts",
        options=("--app-name", "basic-auth", "--allowed-hosts", "127.0.0.1:*"),
        environment=KEYS
        | {
            "MLFLOW_S3_ENDPOINT_URL": s3.meta.endpoint_url,
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "test-secret",
        },
    )
    mlflow.start()
    try:
        for name, password in (SINGER, GUEST):
            response = requests.post(
                f"{mlflow.uri}/api/2.0/mlflow/users/create",
                json={"username": name, "password": password},
                auth=ADMIN,
                timeout=60,
            )
            assert response.status_code == 200, response.text
        yield Team(postgres, mlflow, s3, postgres.create("studies"))
    finally:
        mlflow.kill()


def become(monkeypatch: pytest.MonkeyPatch, name: str, password: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)


@pytest.fixture
def singer(team: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Log in as a user with all permissions on the experiment, create the experiment, and return the password."""
    become(monkeypatch, *SINGER)
    assert Server(team.mlflow.storage(tmp_path)).experiment_id
    return SINGER[1]
