"""The commands that rotate secrets, run by a real bash and kubectl against a fake API server."""

import base64
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from k8s.check import outside
from tests.helpers.k8s.api_server import ApiServer, running
from tests.helpers.k8s.pages import page, steps
from tests.helpers.markdown import blocks

SECRETS = page("secrets")
FOLDER = "/api/v1/namespaces/raygenre/secrets"
ENDPOINT = "/apis/ray.io/v1/namespaces/raygenre/rayservices/endpoint"
KINDS = {("v1", "Secret"), ("ray.io/v1", "RayService")}
FUNCTIONS, FIRST_KEYS, LAST_KEY, *OTHERS = [one.text for one in blocks(SECRETS) if one.language == "sh"]
OTHER_PROGRAMS = """
psql() { echo "$@" >> requests; }
curl() { cat >> requests; echo " $*" >> requests; }
kubectl() {
  case "$*" in *" rollout "*|*" exec "*|*" port-forward "*|*" delete pod "*) ;; *) command kubectl "$@" ;; esac
}
"""
"""Replacements for programs that need more than the API server."""


@pytest.fixture
def server() -> ApiServer:
    there = ApiServer(KINDS, frozenset(), [["raygenre"]])
    for name, keys in outside.SECRETS.items():
        data = {
            key: encoded({"MLFLOW_TRACKING_USERNAME": name.removeprefix("mlflow-")}.get(key, "old")) for key in keys
        }
        metadata = {"name": name, "namespace": "raygenre", "resourceVersion": "1"}
        there.objects[f"{FOLDER}/{name}"] = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
    metadata = {"name": "endpoint", "namespace": "raygenre", "resourceVersion": "1"}
    there.objects[ENDPOINT] = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": metadata, "spec": {}}
    return there


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def values(server: ApiServer, name: str) -> dict[str, str]:
    data = server.objects[f"{FOLDER}/{name}"]["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def run(server: ApiServer, folder: Path, *commands: str) -> str:
    """Run the page's commands, and return the requests made by programs other than kubectl."""
    (folder / "requests").touch()
    with running(folder, server) as config:
        settings = os.environ | {"KUBECONFIG": str(config), "KUBECACHEDIR": str(folder)}
        script = ["bash", "-e", "-c", "\n".join([OTHER_PROGRAMS, FUNCTIONS, *commands])]
        done = subprocess.run(script, cwd=folder, env=settings, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "requests").read_text()


def test_the_page_names_every_secret() -> None:
    assert {*outside.SECRETS} <= {*re.findall(r"^\| `([a-z0-9-]+)` \|", SECRETS.read_text(), re.MULTILINE)}


@pytest.mark.integration
def test_keys_are_rotated_without_a_gap(server: ApiServer, tmp_path: Path) -> None:
    run(server, tmp_path, FIRST_KEYS)
    old, new = values(server, "api-keys")["keys"].splitlines()
    assert (old, len(new)) == ("old", 64)
    run(server, tmp_path, LAST_KEY)
    assert values(server, "api-keys") == {"keys": new}


@pytest.mark.integration
def test_every_other_secret_is_replaced_with_all_its_keys(server: ApiServer, tmp_path: Path) -> None:
    requests = run(server, tmp_path, *OTHERS[:-1])  # the last command is for registries
    for name in {*outside.SECRETS} - {"api-keys"}:
        assert ("PUT", f"{FOLDER}/{name}") in server.changed
        now = values(server, name)
        assert now.keys() == outside.SECRETS[name], name
        assert "old" not in now.values(), name
    for user in ("search", "serving"):
        password = values(server, f"mlflow-{user}")["MLFLOW_TRACKING_PASSWORD"]
        assert json.dumps({"username": user, "password": password}) in requests
    assert f"admin:{values(server, 'mlflow-server')['admin-password']}" in requests
    for role, name in (("mlflow", "postgres-mlflow"), ("optuna", "postgres-search")):
        assert f"ALTER ROLE {role} PASSWORD '{values(server, name)['PGPASSWORD']}'" in requests


@pytest.mark.integration
def test_the_endpoint_gets_a_new_cluster(server: ApiServer, tmp_path: Path) -> None:
    run(server, tmp_path, "restart_endpoint")
    head = server.objects[ENDPOINT]["spec"]["rayClusterConfig"]["headGroupSpec"]
    assert re.fullmatch(r"[\d-]+T[\d:]+Z", head["template"]["metadata"]["annotations"]["raygenre/restarted"])


@pytest.mark.integration
def test_a_copy_of_secrets_can_be_created_in_a_new_namespace(server: ApiServer, tmp_path: Path) -> None:
    for secret in server.objects.values():
        secret["metadata"] |= {"uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    [keep] = steps(page("backup"), "kubectl -n raygenre get secret ")
    run(server, tmp_path, keep)
    copies = yaml.safe_load((tmp_path / "secrets.yaml").read_text())["items"]
    assert [one["metadata"]["name"] for one in copies] == ["mlflow-server", "mlflow-search", "mlflow-serving"]
    for copy in copies:
        name = copy["metadata"]["name"]
        assert copy["metadata"] == {"name": name, "namespace": "raygenre"}, "a server accepts no uid or resourceVersion"
        assert copy["data"] == server.objects[f"{FOLDER}/{name}"]["data"]
