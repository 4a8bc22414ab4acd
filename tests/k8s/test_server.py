"""The dry run on an API server sends the right requests and reports rejections."""

import os
import re
from pathlib import Path

import pytest

from k8s.check import rendering, server
from k8s.check.__main__ import main
from k8s.check.rendering import Resource, name
from tests.helpers.k8s import rendered as renderings
from tests.helpers.k8s.api_server import CLUSTER_WIDE, config
from tests.helpers.k8s.check_command import run_check
from tests.helpers.k8s.rendered import rendered
from tests.helpers.k8s.stand_in import asked

pytestmark = pytest.mark.integration


def whole() -> list[Resource]:
    return rendered("prod")


def some(*names: str) -> list[Resource]:
    """Return only these objects, because kubectl is run once per object after a rejection or warning."""
    return [one for one in whole() if one["metadata"]["name"] in names]


def test_every_object_is_tried_and_none_is_stored(tmp_path: Path) -> None:
    with asked(tmp_path) as there:
        assert server.answer(whole()) == server.Answer()
    options = {"dryRun": "All", "fieldValidation": "Strict", "force": "false", "fieldManager": "kubectl"}
    assert all(query.items() >= options.items() for _, query, _ in there.applied)
    tried = [(given["kind"], given["metadata"]["name"]) for _, _, given in there.applied]
    pods = {
        *("rayservice-endpoint-head", "rayservice-endpoint-workers-replicas", "rayservice-endpoint-cleanup-of-redis"),
        *("rayjob-search-head", "rayjob-search-workers-gpu", "rayjob-search-submitter"),
    }
    expected = [(one["kind"], one["metadata"]["name"]) for one in whole()]
    assert sorted(tried) == sorted([*expected, *(("PodTemplate", called) for called in pods)])


@pytest.mark.parametrize(("namespaces", "used"), [(["default"], "default"), (["default", "raygenre"], "raygenre")])
def test_objects_are_tried_in_an_existing_namespace(tmp_path: Path, namespaces: list[str], used: str) -> None:
    with asked(tmp_path, namespaces=[namespaces]) as there:
        assert server.answer(whole()) == server.Answer()
    within = [path.split("/")[-3] for path, _, given in there.applied if given["kind"] not in CLUSTER_WIDE]
    assert set(within) == {used}


def test_each_rejected_object_is_named(tmp_path: Path) -> None:
    with asked(tmp_path, refused=frozenset({"results", "redis"})):
        found = server.answer(some("results", "redis", "serving")).problems
    expected = [name(one) for one in some("results", "redis")]
    assert len(expected) == 5
    assert [line.partition(": the server rejects it: ")[0] for line in found] == expected
    assert all("is invalid: no such thing" in line for line in found)


def test_conflicts_of_a_second_apply_are_reported(tmp_path: Path) -> None:
    with asked(tmp_path, owned={"endpoint": ".spec.rayClusterConfig.workerGroupSpecs"}):
        [line] = server.answer([one for one in whole() if one["kind"] == "RayService"]).problems
    assert line.startswith("RayService endpoint: the server rejects it: ")
    assert 'conflict with "kuberay-operator" using ray.io/v1: .spec.rayClusterConfig.workerGroupSpecs' in line


def test_without_the_operator_its_kinds_are_named(tmp_path: Path) -> None:
    tried = [one for one in whole() if one["kind"] in ("RayService", "RayJob", "PersistentVolumeClaim")]
    with asked(tmp_path, without="ray.io/"):
        found = server.answer(tried).problems
    assert [line.partition(": the server rejects it: ")[0] for line in found] == [
        "RayService endpoint",
        "RayJob search",
    ]


def test_pod_security_warnings_are_problems_others_are_printed(tmp_path: Path) -> None:
    violation = (
        'would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "autoscaler")'
    )
    said = {"rayservice-endpoint-head": violation, "redis": "unrecognized format"}
    with asked(tmp_path, warned=said):
        answer = server.answer(some("endpoint", "redis"))
    assert answer.problems == [f"PodTemplate rayservice-endpoint-head: the server warns: {violation}"]
    assert answer.warnings == [f"{name(one)}: the server warns: unrecognized format" for one in some("redis")]


def test_a_warning_is_printed_and_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBERAY_CRDS", raising=False)
    monkeypatch.setattr(rendering, "render", lambda *_: some("results"))
    monkeypatch.setattr("k8s.check.__main__.problems", lambda *_: [])  # the check would report unused claims
    with asked(tmp_path, warned={"results": "this will go with 1.37"}):
        assert main(["prod"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("    PersistentVolumeClaim results: the server warns: this will go with 1.37\n") == 2


def test_another_version_of_a_kind_is_a_problem(tmp_path: Path) -> None:
    with asked(tmp_path, extra=frozenset({("kueue.x-k8s.io/v1", "ClusterQueue")})):
        status, printed = run_check("gpu", KUBECONFIG=os.environ["KUBECONFIG"])
    assert status == 1
    ours = {one["apiVersion"] for one in renderings.whole("gpu") if one["kind"] == "ClusterQueue"}
    assert f"    ClusterQueue: the server does not have {ours.pop()}; it has kueue.x-k8s.io/v1\n" in printed
    assert [line for line in printed.splitlines() if "skipped" in line and "Queue" in line] == []


def test_one_overlay_is_checked_as_far_as_the_server_can(tmp_path: Path) -> None:
    with asked(tmp_path) as there:
        status, printed = run_check("prod", KUBECONFIG=os.environ["KUBECONFIG"])
    assert status == 0, printed
    assert set(re.findall(r"^(\w+)[\w ,]*: ", printed, re.MULTILINE)) == {"prod", "skipped"}
    assert f"prod on the server: {len(whole())} objects, 0 problems" in printed
    skipped = "ClusterQueue, LocalQueue, PodMonitor, PrometheusRule, ResourceFlavor"
    assert f"skipped because the server has no such kind: {skipped}\n" in printed
    claims = [given["spec"]["accessModes"] for _, _, given in there.applied if given["metadata"]["name"] == "results"]
    assert claims == [["ReadWriteMany"]] * 2


def test_an_immutable_field_is_one_short_line() -> None:
    [job] = some("mlflow-migration")
    struct = (
        f'core.PodTemplateSpec{{ObjectMeta:v1.ObjectMeta{{Name:"", Labels:map[string]string{{"a": "b"}}}}{"x" * 9000}}}'
    )
    start = 'kubectl apply --server-side --dry-run=server: The Job "mlflow-migration" is invalid: spec.template: '
    said = server.brief(f"{start}Invalid value: {struct}: field is immutable", job)
    assert said == (
        'The Job "mlflow-migration" is invalid: spec.template: field is immutable; keep the installed value, or delete '
        "the object before you apply it: kubectl -n raygenre delete job mlflow-migration"
    )
    changed = "spec: Forbidden: spec is immutable after creation\n  core.PersistentVolumeClaimSpec{\n  AccessModes: 1 }"
    assert server.brief(changed) == "spec: Forbidden: spec is immutable after creation"
    assert len(server.brief("x" * 9000)) < 1000


def test_a_missing_overlay_is_reported() -> None:
    assert run_check("staging") == (2, "there is no overlay staging; overlays: dev, gpu, prod\n")


def test_a_starting_server_is_waited_for(tmp_path: Path) -> None:
    with asked(tmp_path, namespaces=[[], ["kube-system"], ["default"]]) as there:
        assert server.answer(whole()[:1]) == server.Answer()
    assert there.namespaces == [["default"]]


def test_the_check_fails_without_the_server(tmp_path: Path) -> None:
    status, printed = run_check("dev", KUBECONFIG=str(config(tmp_path, 9)), KUBECACHEDIR=str(tmp_path))
    assert status == 1
    assert re.search(r"^the API server of KUBECONFIG does not answer: .*127\.0\.0\.1:9", printed, re.MULTILINE)
