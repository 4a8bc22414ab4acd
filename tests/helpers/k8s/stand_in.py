"""Points kubectl at a fake API server."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from k8s.check import rendering
from tests.helpers.k8s.api_server import ApiServer, running
from tests.helpers.k8s.rendered import rendered


@cache
def kinds() -> set[tuple[str, str]]:
    every = [one for overlay in rendering.names() for one in rendered(overlay)]
    return {(one["apiVersion"], one["kind"]) for one in every} | {("v1", "PodTemplate"), ("ray.io/v1", "RayCluster")}


@contextmanager
def asked(
    folder: Path,
    *,
    refused: frozenset[str] = frozenset(),
    namespaces: list[list[str]] | None = None,
    without: str = "nothing",
    extra: frozenset[tuple[str, str]] = frozenset(),
    warned: dict[str, str] | None = None,
    owned: dict[str, str] | None = None,
) -> Iterator[ApiServer]:
    """Point kubectl at a fake API server.

    Args:
        without: prefix of the API versions whose kinds the server does not support.
        extra: additional kinds that the server supports, as pairs of apiVersion and kind.
    """
    known = {(version, kind) for version, kind in kinds() if not version.startswith(without)} | extra
    there = ApiServer(known, refused, namespaces or [["default"]], warned=warned or {}, owned=owned or {})
    with running(folder, there) as path, pytest.MonkeyPatch.context() as patched:
        patched.setenv("KUBECONFIG", str(path))
        patched.setenv("KUBECACHEDIR", str(folder))
        yield there
