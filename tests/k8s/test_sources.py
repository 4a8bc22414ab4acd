"""Messages about a field name the file that sets it."""

import pytest

from k8s.check import sources
from k8s.check.rendering import ROOT, Resource, name
from tests.helpers.k8s.rendered import rendered, whole

WORKERS = "spec.rayClusterConfig.workerGroupSpecs[0]"
DEV, PROD = "k8s/overlays/dev/kustomization.yaml", "k8s/overlays/prod/kustomization.yaml"


def one(overlay: str, called: str) -> Resource:
    [found] = [resource for resource in whole(overlay) if name(resource) == called]
    return found


@pytest.mark.parametrize(
    ("overlay", "called", "field", "path"),
    [
        ("prod", "RayService endpoint", "spec.serveConfigV2", "k8s/base/serving.yaml"),
        ("prod", "RayService endpoint", f"{WORKERS}.maxReplicas", PROD),
        ("prod", "RayService endpoint", f"{WORKERS}.groupName", "k8s/base/serving.yaml"),
        ("prod", "RayService endpoint", f"{WORKERS}.template.spec.containers[0].image", PROD),
        ("prod", "RayService endpoint", "spec.upgradeStrategy.type", "k8s/components/gateway/kustomization.yaml"),
        ("prod", "ResourceQuota raygenre", "spec.hard[requests.nvidia.com/gpu]", PROD),
        ("prod", "ResourceQuota raygenre", "spec.hard[pods]", "k8s/base/namespace.yaml"),
        ("dev", "RayService endpoint", f"{WORKERS}.template.spec.containers[0].resources.requests.cpu", DEV),
        ("dev", "ConfigMap mlflow", "data.BACKEND", "k8s/overlays/dev/mlflow.yaml"),
        ("dev", "Deployment mlflow", "spec.template.spec.volumes[3]", "k8s/overlays/dev/mlflow.yaml"),
        ("gpu", "ConfigMap search", "data.RAYGENRE_STORAGE", "k8s/components/bucket/kustomization.yaml"),
        ("gpu", "ConfigMap search", "data.GPUS_PER_TRIAL", "k8s/overlays/gpu/search/kustomization.yaml"),
    ],
)
def test_a_field_is_traced_to_its_file(overlay: str, called: str, field: str, path: str) -> None:
    assert sources.at(one(overlay, called), field) == f"{path}: {called}: {field}"


def test_every_object_has_files_and_is_otherwise_unchanged() -> None:
    for resource in rendered("prod"):
        paths = sources.files(resource)
        assert paths
        assert all((ROOT / path).is_file() for path in paths)
        assert sources.FILES not in str(sources.bare(resource))
        assert sources.bare(resource)["metadata"].keys() <= resource["metadata"].keys()


def test_messages_without_a_field_name_all_files_of_the_object() -> None:
    said = sources.located("RayService endpoint, head: readinessProbe is missing", whole("prod"))
    parts = ", ".join(f"k8s/components/{name}/kustomization.yaml" for name in ("gateway", "jobs"))
    assert said == f"k8s/base/serving.yaml, {PROD}, {parts}: RayService endpoint, head: readinessProbe is missing"
    assert sources.located("policies block a from b", whole("prod")) == "policies block a from b"
