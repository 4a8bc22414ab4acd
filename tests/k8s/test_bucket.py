"""A search with studies in a bucket loads its data as docs/kubernetes/searches.md describes."""

import shutil
from pathlib import Path

import yaml

from k8s.check import claims, rendering, schemas
from k8s.check.pods import HEAD, WORKER, pods
from k8s.check.rendering import ROOT
from tests.helpers.k8s.pages import examples, page


def test_data_reach_the_head_of_a_search_in_a_bucket(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "serve" / "monitoring", tmp_path / "serve" / "monitoring")
    resources = []
    for name in ("k8s/overlays/mine", "k8s/overlays/mine/search"):
        (tmp_path / name).mkdir()
        [content] = examples(page("searches"))[f"{name}/kustomization.yaml"]
        (tmp_path / name / "kustomization.yaml").write_text(yaml.safe_dump(content))
        resources += rendering.parse(rendering.kubectl("kustomize", str(tmp_path / name)))
    assert list(schemas.problems(resources, None)) == []
    assert list(claims.problems(resources)) == []
    mounted = {
        pod.role: [v for v in pod.spec["volumes"] if "persistentVolumeClaim" in v]
        for pod in pods(resources)
        if pod.owner["kind"] == "RayJob" and pod.role in (HEAD, WORKER)
    }
    assert [volume["name"] for volume in mounted[HEAD]] == ["results"]
    assert mounted[WORKER] == []
    [claim] = [one for one in resources if one["kind"] == "PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
