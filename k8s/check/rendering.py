"""Renders overlays with kustomize, each with its loader, its search and optional components."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from k8s.check import sources

ROOT = sources.ROOT
OVERLAYS = ROOT / "k8s" / "overlays"
COMPONENTS = ROOT / "k8s" / "components"
WARNING = "Warning: "
OLDEST = (1, 30)
"""The oldest supported version of kubectl; its kustomize supports components as they are used here."""

Resource = dict[str, Any]

COMBINATIONS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "dev": (("cilium", "monitoring", "searchers"), ()),
    "gpu": (("cilium", "monitoring"), ("bucket", "kueue")),
    "prod": (("gateway", "jobs", "monitoring", "studies"), ("bucket", "kueue")),
}
"""For each overlay, the components with which it is checked, and those with which its search is checked."""

SEARCH_COMPONENTS = ("bucket", "kueue")
"""The components that patch a search; the others are for overlays."""


class RenderingError(RuntimeError):
    """kubectl is missing or too old, or kustomize failed; the message states the cause."""


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
    """Render an overlay with its loader and its search. Each object is annotated with its files; see sources.py.

    Args:
        components: components to add to the overlay.
        search_components: components to add to the search.

    Raises:
        RenderingError: kustomize fails.
    """
    folder = OVERLAYS / overlay
    check_listed(folder)
    built = _build(folder, components, namespace(folder) if components else "")
    return [*built, *part(overlay, "loader"), *part(overlay, "search", search_components)]


def part(overlay: str, called: str, components: Sequence[str] = ()) -> list[Resource]:
    """Render an overlay's `search` or `loader`.

    If an overlay has no folder of this name, the folder of its base overlay is used, with the overlay's own namespace.

    Raises:
        RenderingError: kustomize fails, or neither the overlay nor its base has the folder.
    """
    folder = owner = OVERLAYS / overlay
    while not (owner / called).is_dir():
        bases = [owner / one for one in _kustomization(owner).get("resources", [])]
        under = [base.resolve() for base in bases if base.resolve().parent == OVERLAYS.resolve()]
        if not under:
            raise RenderingError(f"{_short(folder)}: the folder {called} is missing; copy it from overlays/dev")
        owner = under[0]
    check_listed(owner / called)
    home = namespace(folder) if owner != folder or components else ""
    return _build(owner / called, components, home)


def check_listed(folder: Path) -> None:
    """Check the resources and components that a kustomization lists.

    kustomize silently ignores a component in the wrong place.

    Raises:
        RenderingError: a path does not exist, or a component is listed in the wrong place.
    """
    given = _kustomization(folder)
    start = f"{_short(folder)}/kustomization.yaml"
    for field in ("resources", "components"):
        for path in given.get(field, []):
            called, place = Path(path).name, (folder / path).resolve()
            if path.startswith(".") and not place.exists():
                raise RenderingError(f"{start}: {field}: {path} does not exist; correct the path")
            if place.parent != COMPONENTS.resolve():
                continue
            if field == "resources":
                raise RenderingError(f"{start}: resources: {called} is a component; list it under components")
            if called in SEARCH_COMPONENTS and folder.name != "search":
                remedy = "list it in search/kustomization.yaml"
                raise RenderingError(f"{start}: components: {called} patches searches, not the overlay; {remedy}")
            if called not in SEARCH_COMPONENTS and folder.name == "search":
                remedy = "list it in the overlay's kustomization.yaml"
                raise RenderingError(f"{start}: components: {called} is not for searches; {remedy}")


def listed(folder: Path) -> set[str]:
    """Return the names of the components that a kustomization and its bases list."""
    given = _kustomization(folder)
    found = {Path(path).name for path in given.get("components", [])}
    return found.union(*(listed(folder / path) for path in given.get("resources", [])))


def namespace(folder: Path) -> str:
    """Return the namespace of a kustomization's objects; empty if none is set.

    If the kustomization itself does not set a namespace, the first of its bases that sets one determines it.
    """
    given = _kustomization(folder)
    found = str(given.get("namespace", ""))
    for base in given.get("resources", []):
        found = found or namespace(folder / base)
    return found


def _build(folder: Path, components: Sequence[str], home: str) -> list[Resource]:
    """Build a kustomization with additional components; annotate its objects with their files.

    Args:
        components: the components; those that the kustomization already lists are not added again.
        home: the namespace for all objects; if empty, objects keep their own.
    """
    with tempfile.TemporaryDirectory() as place:
        here = Path(place).resolve()
        new = [called for called in components if called not in listed(folder)]
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(folder.resolve(), here)],
            "components": [os.path.relpath(COMPONENTS / called, here) for called in new],
            "buildMetadata": sources.METADATA,
            **({"namespace": home} if home else {}),
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        try:
            text = kubectl("kustomize", str(here))
        except RenderingError as error:
            cause = " ".join(str(error).rpartition("error: ")[2].split())
            raise RenderingError(f"{_short(folder)}: kustomize cannot build it: {cause}") from error
        return [sources.annotate(resource, here) for resource in parse(text)]


def _kustomization(folder: Path) -> dict[str, Any]:
    path = folder / "kustomization.yaml"
    given = yaml.safe_load(path.read_text()) if path.is_file() else None
    return given if isinstance(given, dict) else {}


def _short(folder: Path) -> str:
    return str(folder.relative_to(ROOT)) if folder.is_relative_to(ROOT) else str(folder)


def name(resource: Resource) -> str:
    """Return an object's name for messages."""
    return sources.called(resource)
