"""The command `make k8s-check`: checks every overlay, alone and with its components.

Run:
    make k8s-check                         # or: python -m k8s.check; half a minute
    KUBERAY_CRDS=DIR make k8s-check        # also check Ray's kinds against the operator's CustomResourceDefinitions
    KUBECONFIG=FILE make k8s-check         # also dry-run on a server that has these definitions
    make k8s-check OVERLAY=prod            # check only one overlay, for example the one that a server runs
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from k8s.check import (
    alerts,
    amounts,
    availability,
    claims,
    exposure,
    memory,
    network,
    operator,
    quota,
    references,
    rendering,
    schemas,
    security,
    selections,
    server,
    versions,
)
from k8s.check.rendering import RenderingError, Resource

LEFT_OUT = """skipped: Ray's kinds were not checked against the operator's CustomResourceDefinitions. To check them,
    download the four files helm-chart/kuberay-operator/crds/ray.io_*.yaml of the operator's version from KubeRay's
    repository, and run KUBERAY_CRDS=DIR make k8s-check"""
CHECKS = (
    operator,
    security,
    references,
    selections,
    network,
    versions,
    availability,
    amounts,
    claims,
    exposure,
    memory,
    quota,
    alerts,
)


def problems(resources: list[Resource], crds: schemas.Schemas | None) -> Iterator[str]:
    """Yield all problems of a rendering."""
    shape = list(schemas.problems(resources, crds))
    yield from shape
    if not shape:  # the other checks rely on the schemas
        for check in CHECKS:
            yield from check.problems(resources)


def main(arguments: list[str]) -> int:
    """Check the named overlays, or all of them; print the problems and return the exit status."""
    folder = os.environ.get("KUBERAY_CRDS")
    if unknown := sorted(set(arguments) - set(rendering.names())):
        sys.stdout.write(f"there is no overlay {', '.join(unknown)}; overlays: {', '.join(rendering.names())}\n")
        return 2
    try:
        crds = schemas.read_crds(Path(folder)) if folder else None
        rendering.check_kubectl()
        failed = 0
        for overlay in arguments or rendering.names():
            failed += _check(overlay, rendering.render(overlay), crds)
            if overlay in rendering.COMBINATIONS:
                components, search = rendering.COMBINATIONS[overlay]
                called = f"{overlay} with {', '.join([*components, *search])}"
                failed += _check(called, rendering.render(overlay, components, search), crds)
    except (RenderingError, FileNotFoundError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    if not folder:
        sys.stdout.write(f"{LEFT_OUT}\n")
    return 1 if failed else 0


def _check(called: str, resources: list[Resource], crds: schemas.Schemas | None) -> int:
    failed = _report(called, resources, list(problems(resources, crds)))
    return failed + (_try(called, resources) if os.environ.get("KUBECONFIG") else 0)


def _try(called: str, resources: list[Resource]) -> int:
    """Dry-run the objects that the server can validate; skip the kinds of operators that are not installed on it."""
    versions = server.versions()
    kinds = [(one["apiVersion"], one["kind"]) for one in resources]
    missing = {kind for kind in kinds if kind in schemas.extensions() and kind[0] not in versions}
    tried = [one for one, kind in zip(resources, kinds, strict=True) if kind not in missing]
    answer = server.answer(tried)
    found = {kind: server.others(kind[0], versions) for kind in sorted(missing)}
    moved = [
        f"{kind}: the server does not have {ours}; it has {', '.join(has)}"
        for (ours, kind), has in found.items()
        if has
    ]
    failed = _report(f"{called} on the server", tried, [*answer.problems, *moved])
    sys.stdout.writelines(f"    {line}\n" for line in answer.warnings)
    absent = sorted(kind for (_, kind), has in found.items() if not has)
    if absent:
        sys.stdout.write(f"    skipped because the server has no such kind: {', '.join(absent)}\n")
    return failed


def _report(called: str, resources: list[Resource], found: list[str]) -> int:
    sys.stdout.write(f"{called}: {len(resources)} objects, {len(found)} problems\n")
    sys.stdout.writelines(f"    {line}\n" for line in found)
    return len(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
