"""Renders overlays with kustomize, each with its loader and search, and with components."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
OVERLAYS = ROOT / "k8s" / "overlays"
COMPONENTS = ROOT / "k8s" / "components"
WARNING = "Warning: "
OLDEST = (1, 30)
"""The oldest supported version of kubectl; its kustomize supports components as they are used here."""

Resource = dict[str, Any]

COMBINATIONS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "dev": (("cilium", "monitoring", "searchers"), ()),
    "gpu": (("cilium", "monitoring"), ("bucket", "kueue")),
    "prod": (("gateway", "monitoring"), ("bucket", "kueue")),
}
"""For each overlay, the components to check it with and the components to check its search with."""


class RenderingError(RuntimeError):
    """kubectl is missing or too old, or kustomize fails; the message says which."""


def kubectl(*arguments: str, text: str | None = None) -> str:
    """Run kubectl and return its output.

    Raises:
        RenderingError: kubectl is missing, fails, or does not finish in time.
    """
    return kubectl_warned(*arguments, text=text)[0]


def kubectl_warned(*arguments: str, text: str | None = None) -> tuple[str, list[str]]:
    """Run kubectl and return its output and the API server's warnings.

    Raises:
        RenderingError: as for `kubectl`.
    """
    try:
        done = subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True, timeout=300)
    except FileNotFoundError as error:
        raise RenderingError("kubectl is not installed; 1.30 or newer is needed") from error
    except subprocess.TimeoutExpired as error:
        raise RenderingError(f"kubectl {' '.join(arguments[:3])}: no answer within {error.timeout:g} s") from error
    if done.returncode:
        raise RenderingError(f"kubectl {' '.join(arguments[:3])}: {done.stderr.strip()}")
    lines = done.stderr.splitlines()
    return done.stdout, [line.removeprefix(WARNING) for line in lines if line.startswith(WARNING)]


def check_kubectl() -> None:
    """Check that kubectl is installed and new enough.

    Raises:
        RenderingError: kubectl is missing or too old.
    """
    client = json.loads(kubectl("version", "--client", "--output=json"))["clientVersion"]
    found = (int(client["major"]), int("".join(filter(str.isdigit, client["minor"]))))
    if found < OLDEST:
        raise RenderingError(f"kubectl {found[0]}.{found[1]} is too old; 1.30 or newer is needed")


def parse(text: str) -> list[Resource]:
    """Return the objects of a YAML stream."""
    return [resource for resource in yaml.safe_load_all(text) if resource]


def names() -> list[str]:
    """Return the names of the overlays."""
    return sorted(path.parent.name for path in OVERLAYS.glob("*/kustomization.yaml"))


def render(overlay: str, components: Sequence[str] = (), search_components: Sequence[str] = ()) -> list[Resource]:
    """Render an overlay with its loader and its search.

    Args:
        components: components to add to the overlay.
        search_components: components to add to the search.

    Raises:
        RenderingError: kustomize fails.
    """
    folder = OVERLAYS / overlay
    return [*_with(folder, components), *_with(folder / "loader", ()), *_with(folder / "search", search_components)]


def _with(folder: Path, components: Sequence[str]) -> list[Resource]:
    if not components:
        return parse(kubectl("kustomize", str(folder)))
    with tempfile.TemporaryDirectory() as place:
        here = Path(place).resolve()
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(folder, here)],
            "components": [os.path.relpath(COMPONENTS / name, here) for name in components],
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return parse(kubectl("kustomize", str(here)))


def name(resource: Resource) -> str:
    """Return an object's name for messages."""
    return f"{resource['kind']} {resource['metadata']['name']}"
