"""Custom overlays may use another namespace; components in the wrong place are reported."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.check import rendering
from k8s.check.__main__ import main, problems
from k8s.check.rendering import ROOT, RenderingError, name
from k8s.search import search


@pytest.fixture
def overlays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the manifests, to which a test may add overlays."""
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "serve" / "monitoring", tmp_path / "serve" / "monitoring")
    monkeypatch.setattr(rendering, "OVERLAYS", tmp_path / "k8s" / "overlays")
    monkeypatch.setattr(rendering, "COMPONENTS", tmp_path / "k8s" / "components")
    monkeypatch.delenv("KUBERAY_CRDS", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return tmp_path / "k8s" / "overlays"


def write(folder: Path, **content: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))


def test_a_team_needs_two_lines_for_its_own_namespace(overlays: Path) -> None:
    write(overlays / "mine", namespace="team-a", resources=["../prod"])
    resources = rendering.render("mine", ["gateway", "monitoring"], ["bucket"])
    assert list(problems(rendering.render("mine"), None)) == []
    assert {one["metadata"].get("namespace", "team-a") for one in resources} == {"team-a"}
    assert {one["metadata"]["namespace"] for one in search("mine", "first", 8)} == {"team-a"}


def test_a_search_in_another_namespace_is_one_line(overlays: Path) -> None:
    write(overlays / "mine", namespace="team-a", resources=["../prod"])
    for part in ("search", "loader"):
        write(overlays / "mine" / part, resources=[f"../../prod/{part}"])
    [line] = problems(rendering.render("mine"), None)
    assert line.endswith(
        "and 2 more objects: Namespace raygenre does not exist; set namespace: team-a in their kustomization"
    )


@pytest.mark.parametrize(
    ("part", "listing", "message"),
    [
        ("", "components: [../../components/bucket]", "bucket patches searches, not the overlay; list it in search/"),
        ("", "components: [../components/gateway]", "../components/gateway does not exist; correct the path"),
        (
            "search",
            "components: [../../../components/gateway]",
            "gateway is not for searches; list it in the overlay's",
        ),
        ("search", "resources: [../../../components/bucket]", "bucket is a component; list it under components"),
    ],
)
def test_a_component_in_the_wrong_place_is_named(overlays: Path, part: str, listing: str, message: str) -> None:
    write(overlays / "mine", resources=["../prod"])
    if part:
        write(overlays / "mine" / part, resources=[f"../../prod/{part}"])
    path = overlays / "mine" / part / "kustomization.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | yaml.safe_load(listing)))
    with pytest.raises(RenderingError, match=re.escape(message)) as failed:
        rendering.render("mine")
    assert str(failed.value).startswith(f"{path}: {listing.partition(':')[0]}: ")


def test_a_listed_component_is_not_added_again(overlays: Path) -> None:
    path = overlays / "prod" / "search" / "kustomization.yaml"
    path.write_text(path.read_text() + "components: [../../../components/bucket]\n")
    resources = rendering.render("prod", ["monitoring"], ["bucket", "kueue"])
    assert [name(one) for one in resources].count("NetworkPolicy search-s3") == 1
    assert list(problems(resources, None)) == []


def test_an_error_of_kustomize_is_one_line(overlays: Path) -> None:
    path = overlays / "prod" / "kustomization.yaml"
    path.write_text(path.read_text().replace("/spec/hard/requests.cpu", "/spec/soft/requests.cpu"))
    with pytest.raises(RenderingError, match=r"^\S*overlays/prod: kustomize cannot build it: [^\n]*soft[^\n]*$"):
        rendering.render("prod")


def test_an_overlay_that_cannot_be_built_does_not_hide_others(
    overlays: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(overlays / "damaged", resources=["../nothing"])
    assert main(["damaged", "dev"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "damaged: 0 objects, 1 problems"
    assert "nothing" in lines[1]
    assert len([line for line in lines if line.startswith("dev: 28 objects, 0 problems")]) == 1
