"""The image, the Kubernetes instructions and Ray Serve's configuration are consistent."""

import json
import re
from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from k8s.check import outside, rendering
from k8s.check.rendering import ROOT
from k8s.check.versions import pinned, version
from serve.network import proxy_environment
from serve.settings import PREFIX, Settings
from tests.helpers.k8s.pages import README, TEXT
from tests.helpers.k8s.rendered import rendered

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_image_is_named_after_the_pinned_ray() -> None:
    tags = re.findall(r"raygenre:(\S+?)(?=[\s`]|$)", DOCKERFILE + TEXT)
    assert set(tags) == {f"{version()}-ray{pinned('ray')}-{kind}" for kind in ("cpu", "cuda")}


def test_the_image_runs_as_the_user_of_the_pods() -> None:
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    [user] = re.findall(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert f"useradd --uid {user[0]}" in last
    for overlay in rendering.names():
        users = re.findall(r'"runAsUser": (\d+)', json.dumps(rendered(overlay)))
        assert set(users) - {"999"} == {user[0]}  # 999 is the UID that the Redis image runs as


def test_everything_in_the_image_is_pinned() -> None:
    installs = re.findall(r"pip install (.*)", DOCKERFILE)
    assert installs
    assert all("--constraint constraints.txt" in line for line in installs)
    assert re.findall(r"^FROM (?!python:\$\{PYTHON\})", DOCKERFILE, re.MULTILINE) == []


def test_base_image_can_be_pinned_by_digest() -> None:
    [tag] = re.findall(r"^ARG PYTHON=(.*)", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"--build-arg PYTHON=(\S+?)@sha256:DIGEST", DOCKERFILE + TEXT) == [tag, tag]
    assert set(re.findall(r"--build-arg (\w+)=", DOCKERFILE + TEXT)) <= set(
        re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE)
    )


def test_the_image_sets_the_proxy_environment() -> None:
    for variable, value in proxy_environment.DEFAULTS.items():
        assert f"{variable}={value}" in DOCKERFILE


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(source == one or source.startswith(f"{one}/") for one in kept), source


@pytest.mark.parametrize("secret", outside.SECRETS)
def test_the_readme_has_a_command_for_each_secret(secret: str) -> None:
    [command] = re.findall(rf"create secret generic {secret} (.*)", README.read_text())
    assert set(re.findall(r"--from-literal=([\w-]+)=", command)) == outside.SECRETS[secret]


def test_paths_and_targets_in_the_pages_exist() -> None:
    for path in re.findall(r"\bk8s/[\w./]*\w", TEXT):
        assert (ROOT / path).exists() or path.startswith(("k8s/overlays/mine", "k8s/overlays/team")), path
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make (?:--silent )?(k8s-[a-z]+)", TEXT)) <= targets


@pytest.mark.parametrize("overlay", rendering.names())
def test_ray_serve_accepts_its_configuration(overlay: str) -> None:
    [service] = [one for one in rendered(overlay) if one["kind"] == "RayService"]
    schema = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    [application] = schema.applications
    assert application.import_path == "serve.app:app"
    assert [deployment.name for deployment in application.deployments] == ["endpoint"]


@pytest.mark.parametrize("overlay", rendering.names())
def test_the_endpoint_accepts_its_settings(overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [config] = [one for one in rendered(overlay) if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "serving"]
    ours = {key: value for key, value in config["data"].items() if key.startswith(PREFIX)}
    assert {key.removeprefix(PREFIX).lower() for key in ours} <= Settings.model_fields.keys()
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    settings = Settings()
    [service] = [one for one in rendered(overlay) if one["kind"] == "RayService"]
    [group] = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert (settings.min_replicas, settings.max_replicas) == (group["minReplicas"], group["maxReplicas"])
