"""The manifests pass the check, and each injected mistake is reported with its own message.

Each file in `mistakes/` specifies an object in an overlay, a change to this object, and the message that must be
reported. The overlay includes its components unless the file specifies `alone`.
"""

import copy
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.check import availability, rendering, rules, schemas, sums
from k8s.check.__main__ import problems
from k8s.check.rendering import COMBINATIONS, name
from tests.helpers.k8s.check_command import run_check
from tests.helpers.k8s.rendered import rendered, whole

CRDS = os.environ.get("KUBERAY_CRDS")
MISTAKES = sorted(Path(__file__).with_name("mistakes").glob("*.yaml"))

needs_crds = pytest.mark.skipif(not CRDS, reason="KUBERAY_CRDS is not set to a folder of KubeRay's CRDs")


@cache
def crds() -> schemas.Schemas | None:
    return schemas.read_crds(Path(CRDS)) if CRDS else None


@cache
def found(overlay: str) -> list[str]:
    return list(problems(whole(overlay), crds()))


def changed(value: Any, operation: dict[str, Any]) -> None:
    """Apply a JSON Patch operation in place."""
    *parts, last = [part.replace("~1", "/") for part in operation["path"].split("/")[1:]]
    for part in parts:
        value = value[int(part) if isinstance(value, list) else part]
    if isinstance(value, list):
        if operation["op"] == "add" and last == "-":
            value.append(operation["value"])
            return
        last = int(last)
    if operation["op"] == "remove":
        del value[last]
    else:
        assert operation["op"] == "add" or value[last] != operation["value"], "the operation changes nothing"
        value[last] = operation["value"]


def test_every_overlay_is_checked_with_every_component() -> None:
    assert sorted(COMBINATIONS) == rendering.names()
    used = {name for components, search in COMBINATIONS.values() for name in (*components, *search)}
    assert used | {"external"} == {path.name for path in rendering.COMPONENTS.iterdir()}


@pytest.mark.parametrize("overlay", COMBINATIONS)
def test_an_overlay_passes(overlay: str) -> None:
    assert list(problems(rendered(overlay), crds())) == []


@pytest.mark.parametrize("overlay", COMBINATIONS)
def test_an_overlay_with_components_passes(overlay: str) -> None:
    assert found(overlay) == []


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_a_mistake_is_found(path: Path) -> None:
    mistake = yaml.safe_load(path.read_text())
    if mistake.get("needs_crds") and not CRDS:
        pytest.skip("KUBERAY_CRDS is not set to a folder of KubeRay's CRDs")
    rendering = rendered(mistake["overlay"]) if mistake.get("alone") else whole(mistake["overlay"])
    resources = copy.deepcopy(rendering)
    [resource] = [one for one in resources if name(one) == mistake["object"]]
    for operation in mistake["patch"]:
        changed(resource, operation)
    lines = list(problems(resources, crds()))
    assert [line for line in lines if mistake["says"] in line and "\n" not in line], lines
    assert not [line for line in found(mistake["overlay"]) if mistake["says"] in line]


def test_each_mistake_has_its_own_message() -> None:
    lines = [yaml.safe_load(path.read_text())["says"] for path in MISTAKES]
    assert len(lines) == len(set(lines)) >= 20


@pytest.mark.parametrize("overlay", COMBINATIONS)
def test_one_misspelt_label_is_few_lines(overlay: str) -> None:
    """A misspelt label on a pod or in a selector is reported once, not once for each connection that it breaks."""
    for number, resource in enumerate(whole(overlay)):
        for path in labels(resource.get("spec")):
            resources = copy.deepcopy(whole(overlay))
            place = resources[number]["spec"]
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] += "x"
            lines = list(problems(resources, None))
            assert len(lines) <= 5, (name(resource), path, lines)


def labels(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each label in templates and selectors."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key in ("labels", "matchLabels"):
            yield from ((*path, key, label) for label in part if label.startswith("app.kubernetes.io/"))
        else:
            yield from labels(part, *path, key)


def test_what_a_combination_repeats_is_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k8s.check.__main__.problems", lambda *_: ["PersistentVolumeClaim results: too small"])
    status, printed = run_check("prod")
    assert (status, printed.count("too small")) == (1, 1)
    assert (
        "prod with gateway, jobs, monitoring, studies, bucket, kueue: 51 objects, 1 problems, of which 1 as above\n"
        in printed
    )


def test_the_check_prints_the_sums_of_an_overlay() -> None:
    _, printed = run_check("prod")
    assert "\n".join(f"    {line}" for line in sums.table("prod", rendered("prod"))) in printed


def test_without_kubectl_the_check_fails(tmp_path: Path) -> None:
    status, printed = run_check(PATH=str(tmp_path))
    assert status == 1
    assert "kubectl is not installed; 1.30 or newer is needed" in printed


def test_an_old_kubectl_fails_the_check(tmp_path: Path) -> None:
    old = tmp_path / "kubectl"
    old.write_text('#!/bin/sh\necho \'{"clientVersion": {"major": "1", "minor": "20+"}}\'\n')
    old.chmod(0o755)
    status, printed = run_check(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert status == 1
    assert "kubectl 1.20 is too old" in printed


def test_every_overlay_is_checked_even_without_crds() -> None:
    status, printed = run_check()
    assert status == 0, printed
    for overlay, (components, search) in COMBINATIONS.items():
        assert f"{overlay}: {len(rendered(overlay))} objects, 0 problems" in printed
        assert f"{overlay} with {', '.join([*components, *search])}: " in printed
    assert "skipped: Ray's kinds" in printed
    assert "KUBERAY_CRDS=DIR" in printed


def test_a_folder_without_crds_fails_the_check(tmp_path: Path) -> None:
    status, printed = run_check(KUBERAY_CRDS=str(tmp_path))
    assert status == 1
    assert "contains no CustomResourceDefinition" in printed


@needs_crds
def test_crds_have_the_kinds_that_are_used() -> None:
    assert {("ray.io/v1", "RayJob"), ("ray.io/v1", "RayService")} <= (crds() or {}).keys()


def asked(schema: object) -> Iterator[str]:
    """Yield all CEL rules in a schema."""
    if isinstance(schema, dict):
        yield from (rule["rule"] for rule in schema.get("x-kubernetes-validations", []))
        for part in schema.values():
            yield from asked(part)


@needs_crds
def test_every_rule_of_the_crds_is_implemented() -> None:
    assert set(asked(crds())) == rules.RULES.keys()


def test_an_unknown_rule_is_reported() -> None:
    schema = {"x-kubernetes-validations": [{"rule": "self.size() < 3"}]}
    [error] = rules.Validator(schema).iter_errors("abcd")
    assert error.message == "the CRD has a rule that rules.py lacks: self.size() < 3"


@pytest.mark.parametrize("part", ["headGroupSpec", "workerGroupSpecs"])
def test_operator_pods_are_checked_against_kubernetes_schemas(part: str) -> None:
    resources = copy.deepcopy(whole("dev"))
    [service] = [one for one in resources if name(one) == "RayService endpoint"]
    group = service["spec"]["rayClusterConfig"][part]
    container = (group if part == "headGroupSpec" else group[0])["template"]["spec"]["containers"][0]
    container["livenesProbe"] = container.pop("livenessProbe")
    [line] = schemas.problems(resources, None)
    who = {"headGroupSpec": "head", "workerGroupSpecs": "workers replicas"}[part]
    assert line.startswith(f"RayService endpoint, {who}, as PodTemplate rayservice-endpoint-")
    assert "livenesProbe" in line


def test_a_timeout_of_rays_below_that_of_uploads_is_reported() -> None:
    resources = copy.deepcopy(whole("dev"))
    [service] = [resource for resource in resources if resource["kind"] == "RayService"]
    service["spec"]["serveConfigV2"] = service["spec"]["serveConfigV2"].replace(
        "request_timeout_s: 3850", "request_timeout_s: 60"
    )
    assert "RayService endpoint: request_timeout_s is 60: Ray would end uploads that the replicas accept" in list(
        availability.problems(resources)
    )
