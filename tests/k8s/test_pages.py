"""Overlays and objects shown on the Kubernetes pages: registries, teams, access, Argo CD and Flux."""

import copy
import json
import re
import subprocess
from pathlib import Path

import pytest

from k8s.check import exposure, references, schemas
from k8s.check.rendering import Resource, name
from tests.helpers.k8s.own_overlays import copy_manifests, render
from tests.helpers.k8s.pages import README, examples, page, steps
from tests.helpers.k8s.rendered import rendered

COMPONENT = "app.kubernetes.io/component"
CLUSTER_WIDE = {"Namespace", "PriorityClass", "ClusterRole", "ClusterQueue", "ResourceFlavor"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    copy_manifests(folder)
    return folder


def shown(project: Path, path: Path, overlay: str, number: int = 0) -> list[Resource]:
    """Render an overlay shown on a page; `number` selects one of several overlays with the same name."""
    file = f"k8s/overlays/{overlay}/kustomization.yaml"
    return render(project, file, examples(path)[file][number])


def named(resources: list[Resource]) -> dict[str, Resource]:
    return {name(resource): resource for resource in resources}


def test_the_overlay_of_the_readme_is_complete(project: Path) -> None:
    found = named([*shown(project, README, "mine"), *shown(project, README, "mine/search")])
    assert {"PrometheusRule raygenre", "NetworkPolicy gateway", "RayJob search"} <= found.keys()


def test_every_account_gets_the_pull_secret(project: Path) -> None:
    accounts = [one for one in shown(project, page("images"), "mine") if one["kind"] == "ServiceAccount"]
    assert {one["metadata"]["name"] for one in accounts} == {"mlflow", "redis", "search", "serving"}
    assert all(one["imagePullSecrets"] == [{"name": "registry"}] for one in accounts)


def test_a_team_has_a_namespace_of_its_own(project: Path) -> None:
    resources = shown(project, page("teams"), "team-a")
    resources += shown(project, page("teams"), "team-a/search") + shown(project, page("teams"), "team-a/loader")
    assert [one["metadata"]["name"] for one in resources if one["kind"] == "Namespace"] == ["team-a"]
    inside = [one for one in resources if one["kind"] not in CLUSTER_WIDE]
    assert {one["metadata"]["namespace"] for one in inside} == {"team-a"}
    shared = {name(one) for one in resources if one["kind"] in CLUSTER_WIDE - {"Namespace"}}
    assert shared == {"PriorityClass raygenre-serving", "PriorityClass raygenre-search"}
    assert named(resources).keys() - {"Namespace team-a"} == named(rendered("prod")).keys() - {"Namespace raygenre"}


def test_components_of_a_team_do_not_name_another_namespace(project: Path) -> None:
    components = shown(project, page("teams"), "team-b") + shown(project, page("teams"), "team-b/search")
    for resource in components:
        resource = copy.deepcopy(resource)
        resource["metadata"].pop("labels", None)
        text = json.dumps(resource)
        for words in (
            'namespace=\\"raygenre',
            '"owning-gateway-namespace": "raygenre',
            '"kubernetes.io/metadata.name": "raygenre',
        ):
            assert words not in text, f"{name(resource)} names the namespace raygenre"
    [queue] = [one for one in components if one["kind"] == "ClusterQueue"]
    [selector] = queue["spec"]["namespaceSelector"]["matchExpressions"]
    assert selector["values"] == ["team-a", "team-b"]


def test_people_who_run_searches_may_do_what_the_pages_say(project: Path) -> None:
    found = named(shown(project, page("teams"), "team-a", 1))
    assert found["RoleBinding searchers"]["subjects"][0]["name"] == "team-a-researchers"
    granted = {
        (group, resource, verb)
        for rule in found["Role searchers"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    applied = {
        (one["apiVersion"].rpartition("/")[0], f"{one['kind'].lower()}s") for one in rendered("dev") if searched(one)
    }
    assert applied == {("ray.io", "rayjobs"), ("", "configmaps"), ("batch", "jobs")}
    changes = {(*kind, verb) for kind in applied for verb in ("get", "list", "watch", "create", "patch", "delete")}
    logs = {
        ("", "pods", "list"),
        ("", "pods/log", "get"),
        ("", "pods/exec", "create"),
        ("", "pods/portforward", "create"),
    }
    assert (
        changes | logs | {("", "services", "get"), ("ray.io", "rayclusters", "list"), ("", "events", "list")} <= granted
    )
    assert not {resource for _, resource, _ in granted} & {"secrets", "rayservices", "deployments"}
    role = found["ClusterRole raygenre"]
    assert {key for key in role["metadata"]["labels"] if "aggregate" in key} == {
        f"rbac.authorization.k8s.io/aggregate-to-{kind}" for kind in ("admin", "edit")
    }


def test_an_administrator_of_a_namespace_can_apply_their_part(project: Path) -> None:
    """The built-in role `admin` covers the listed kinds, and the component's ClusterRole covers Ray's kinds."""
    [command] = steps(page("teams"), "kubectl apply ")
    [values] = re.findall(r"component in \(([a-z,]+)\)", command)
    overlay = shown(project, page("teams"), "team-a", 1)
    part = [one for one in overlay if one["metadata"]["labels"].get(COMPONENT) in values.split(",")]
    assert {one["kind"] for one in part} == {
        *("ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "RayService", "Service", "StatefulSet")
    }
    assert not [name(one) for one in overlay if one["kind"] in CLUSTER_WIDE and COMPONENT in one["metadata"]["labels"]]
    [ray] = [rule for one in overlay if one["kind"] == "ClusterRole" for rule in one["rules"]]
    assert {"rayservices", "rayjobs"} <= {*ray["resources"]}


def searched(resource: Resource) -> bool:
    return resource["metadata"]["name"] in ("search", "loader") and resource["kind"] in ("RayJob", "ConfigMap", "Job")


def test_routes_lead_to_the_endpoint() -> None:
    shown = examples(page("access"))
    [ingress], [gateway], [route] = (shown[file] for file in ("ingress.yaml", "gateway.yaml", "route.yaml"))
    assert list(schemas.problems([ingress, gateway, route], None)) == []
    assert list(exposure.problems([*rendered("prod"), ingress, route])) == []
    [rule] = ingress["spec"]["rules"]
    [path] = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": "endpoint-serve-svc", "port": {"number": 8000}}
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]] == route["spec"]["hostnames"]
    [parent] = route["spec"]["parentRefs"]
    assert parent == {key: gateway["metadata"][key] for key in ("name", "namespace")}
    assert route["spec"]["rules"][0]["backendRefs"] == [{"name": "endpoint-serve-svc", "port": 8000}]


def test_argo_cd_migrates_after_the_policies_and_before_mlflow(project: Path) -> None:
    waves: dict[int, list[Resource]] = {}
    for resource in shown(project, page("gitops"), "mine"):
        notes = resource["metadata"].get("annotations", {})
        waves.setdefault(int(notes.get("argocd.argoproj.io/sync-wave", "0")), []).append(resource)
        if resource["kind"] in ("Namespace", "PersistentVolumeClaim"):
            assert notes["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
    assert [name(one) for one in waves[1]] == ["Job mlflow-migration"]
    notes = waves[1][0]["metadata"]["annotations"]
    assert (notes["argocd.argoproj.io/hook"], notes["argocd.argoproj.io/hook-delete-policy"]) == (
        "Sync",
        "BeforeHookCreation",
    )
    assert [name(one) for one in waves[2]] == ["Deployment mlflow"]
    assert {name(one) for one in waves[3]} == {"RayService endpoint", "PersistentVolumeClaim results"}
    applied: list[Resource] = []
    for wave in sorted(waves.keys() - {3}):
        applied += waves[wave]
        missing = [line for line in references.problems(applied) if "selector matches no pod" not in line]
        assert missing == [], "only a service may exist before its pods"


def test_flux_applies_the_overlay_in_three_parts(project: Path) -> None:
    parts = [shown(project, page("gitops"), f"mine/{part}") for part in ("base", "migration", "services")]
    assert [name(one) for one in parts[1]] == ["Job mlflow-migration"]
    assert "ttlSecondsAfterFinished" not in parts[1][0]["spec"]
    assert {name(one) for one in parts[2]} >= {"Deployment mlflow", "RayService endpoint", "StatefulSet redis"}
    [prod] = [rendered("prod")]
    outside = {name(one) for one in prod if searched(one)}
    assert sorted(name(one) for part in parts for one in part) == sorted({name(one) for one in prod} - outside)
    applied: list[Resource] = []
    for part in parts:
        applied += part
        assert list(references.problems(applied)) == []
    chain = [one["spec"] for one in examples(page("gitops"))["flux.yaml"]]
    assert [one["path"].rpartition("/")[2] for one in chain] == ["base", "migration", "services"]
    assert [one.get("wait", False) for one in chain] == [False, True, False], "claims may stay pending"
    assert [one["prune"] for one in chain] == [False, True, True]


def test_an_overlay_has_this_project_as_its_remote_base(project: Path, tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-C", str(project)]
    for command in (
        ["init", "--quiet"],
        ["add", "k8s", "serve"],
        ["commit", "--quiet", "-m", "test"],
        ["tag", "v0.2.0"],
    ):
        subprocess.run([*git, *command], check=True)
    [content] = examples(page("gitops"))["kustomization.yaml"]
    here = {
        kind: [url.replace("https://github.com/OWNER/raygenre", f"file://{project}") for url in urls]
        for kind, urls in content.items()
    }
    found = {name(one) for one in render(tmp_path, "kustomization.yaml", here)}
    assert {"RayService endpoint", "PrometheusRule raygenre"} <= found
