"""MLflow runs with the overlays' settings and user accounts, and its documented backup can be restored."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from k8s.check import outside, rendering
from k8s.check.rendering import ROOT
from tests.helpers import postgres
from tests.helpers.k8s.containers import Container
from tests.helpers.k8s.mlflow_users import PASSWORDS, make_users
from tests.helpers.k8s.pages import page, steps
from tests.helpers.mlflow_server import free_port

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def mlflow(overlay: str, folder: Path, variables: dict[str, str]) -> Iterator[str]:
    """Run the migration, start the server, and yield its address."""
    port = free_port()
    (folder / "data").mkdir()
    (folder / "etc").mkdir()
    places = {
        "/var/lib/mlflow": str(folder / "data"),
        "/etc/mlflow": str(folder / "etc"),
        "s3://raygenre-mlflow": str(folder / "data" / "artifacts"),
        "5000": str(port),
    }
    secrets = {name: dict.fromkeys(keys, "unused-unused-unused") for name, keys in outside.SECRETS.items()}
    secrets["mlflow-server"]["admin-password"] = PASSWORDS["admin"]
    secrets["postgres-mlflow"] = variables
    resources = rendering.render(overlay)
    log = folder / "log"
    migration = Container(resources, "Job mlflow-migration", secrets, places)
    assert migration.start(log).wait(timeout=300) == 0, log.read_text()
    server = Container(resources, "Deployment mlflow", secrets, places)
    [config] = [one for one in resources if one["kind"] == "ConfigMap" and "basic_auth.ini" in one["data"]]
    (folder / "etc" / "basic_auth.ini").write_text(server.here(config["data"]["basic_auth.ini"]))
    process = server.start(log)
    uri = f"http://localhost:{port}"
    try:
        deadline = time.monotonic() + 180
        while not healthy(uri):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def healthy(uri: str) -> bool:
    try:
        return requests.get(f"{uri}/health", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def call(uri: str, path: str, user: str, **fields: str | int | float) -> requests.Response:
    return requests.post(f"{uri}/api/2.0/mlflow/{path}", json=fields, auth=(user, PASSWORDS[user]), timeout=30)


def test_mlflow_on_one_volume_authenticates_users(tmp_path: Path) -> None:
    with mlflow("dev", tmp_path, {}) as uri:
        make_users(uri)
        experiment = call(uri, "experiments/create", "search", name="raygenre").json()["experiment_id"]
        run = call(uri, "runs/create", "search", experiment_id=experiment).json()["run"]["info"]["run_id"]
        assert call(uri, "runs/log-metric", "search", run_id=run, key="loss", value=1.5, timestamp=0).ok
        artifact = f"{uri}/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/note.txt"
        assert requests.put(artifact, data=b"text", auth=("search", PASSWORDS["search"]), timeout=30).ok
        assert requests.get(artifact, auth=("serving", PASSWORDS["serving"]), timeout=30).content == b"text"
        assert call(uri, "runs/log-metric", "serving", run_id=run, key="loss", value=0, timestamp=1).status_code == 403
        assert call(uri, "experiments/create", "search", name="raygenre").status_code == 400
        assert requests.get(f"{uri}/api/2.0/mlflow/experiments/list", timeout=30).status_code == 401
        assert requests.get(uri, headers={"Host": "elsewhere:5000"}, timeout=30).status_code == 403
        note = tmp_path / "data" / "artifacts" / experiment / run / "artifacts" / "note.txt"
        assert note.read_text() == "text"
        assert call(uri, "runs/delete", "search", run_id=run).ok
        in_container(tmp_path, uri, page("runbook"), "mlflow gc", "--older-than 30d", "--older-than 0s")
        assert not note.exists()


def test_passwords_of_mlflow_are_changed(tmp_path: Path) -> None:
    """Run the commands in docs/kubernetes/secrets.md, which change passwords via the server and in the database."""
    [path] = re.findall(r"localhost:5000(/api\S+users/update-password)", page("secrets").read_text())
    with mlflow("dev", tmp_path, {}) as uri:
        make_users(uri)

        def status(user: str, password: str) -> int:
            answer = requests.get(f"{uri}/api/2.0/mlflow/users/get?username={user}", auth=(user, password), timeout=30)
            return answer.status_code

        fields = {"username": "search", "password": "another-password"}
        assert requests.patch(f"{uri}{path}", json=fields, auth=("admin", PASSWORDS["admin"]), timeout=30).ok
        assert (status("search", PASSWORDS["search"]), status("search", "another-password")) == (401, 200)
        settings = {"MLFLOW_AUTH_ADMIN_PASSWORD": "another-password"}
        in_container(tmp_path, uri, page("secrets"), "mlflow.server.auth", **settings)
        assert (status("admin", PASSWORDS["admin"]), status("admin", "another-password")) == (401, 200)


def in_container(folder: Path, uri: str, path: Path, part: str, old: str = "", new: str = "", **settings: str) -> None:
    """Replace `old` with `new` in the only command for MLflow's container that contains `part`, and run the command."""
    prefix = "kubectl -n raygenre exec deployment/mlflow -- "
    [command] = [one.removeprefix(prefix) for one in steps(path, prefix) if part in one]
    environment = {
        "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "etc" / "basic_auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORDS["admin"],
        "BACKEND": f"sqlite:///{folder / 'data' / 'mlflow.db'}",
        "ARTIFACTS": str(folder / "data" / "artifacts"),
    }
    here = command.replace("http://localhost:5000", uri).replace(old, new) if old else command
    done = subprocess.run(["bash", "-c", here], env=os.environ | environment | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_mlflow_in_postgres_is_backed_up_and_restored(tmp_path: Path) -> None:
    """The restored database has the same rows, including MLflow's runs and users."""
    with postgres.running() as database:
        database.create("mlflow")
        variables = database.variables("mlflow")
        with mlflow("gpu", tmp_path, variables) as uri:
            make_users(uri)
            assert call(uri, "experiments/create", "search", name="raygenre").ok
        environment = os.environ | variables

        def content() -> list[str]:
            """Return all rows without the schema, because a dump of the schema differs after a restore."""
            command = [str(postgres.program("pg_dump")), "--data-only", "mlflow"]
            dumped = subprocess.check_output(command, env=environment, text=True)
            return sorted(line for line in dumped.splitlines() if "restrict " not in line)  # contains a random key

        def run(command: str) -> None:
            words = [word.replace("$PGDATABASE", variables["PGDATABASE"]) for word in shlex.split(command)]
            words[0] = str(postgres.program(words[0]))
            subprocess.run(words, cwd=tmp_path, env=environment, check=True)

        [dump], [restore] = (steps(page("backup"), program) for program in ("pg_dump ", "pg_restore "))
        run(dump)
        before = content()
        assert any("\traygenre\t" in line for line in before)
        assert any("\tserving\t" in line for line in before)
        run("dropdb mlflow")
        run("createdb mlflow")
        run(restore)
        assert content() == before
