"""Creates custom overlays in a copy of the manifests."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from k8s.check import rendering
from k8s.check.rendering import ROOT, Resource


def copy_manifests(folder: Path) -> None:
    """Copy the manifests, including those outside k8s/ that they refer to, into a folder."""
    shutil.copytree(ROOT / "k8s", folder / "k8s", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "serve" / "monitoring", folder / "serve" / "monitoring")


def render(folder: Path, name: str, content: dict[str, Any]) -> list[Resource]:
    """Write a kustomization to the path `name` in a folder, and return its objects."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return rendering.parse(rendering.kubectl("kustomize", str(path.parent)))
