"""The command `make k8s-check`: checks every overlay, alone and with its components.

Run:
    make k8s-check                         # or: python -m k8s.check; half a minute
    KUBERAY_CRDS=DIR make k8s-check        # also check Ray's kinds against the operator's CustomResourceDefinitions
    KUBECONFIG=FILE make k8s-check         # also dry-run on a server that has these definitions
    make k8s-check OVERLAY=prod            # check only one overlay, for example the one that a server runs

Each problem is reported on one line with the file, the object and the remedy. A table shows the total requests of each
overlay; see sums.py.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from k8s.check import (
    alerts,
    amounts,
    availability,
    claims,
    credentials,
    devices,
    exposure,
    folders,
    labels,
    memory,
    network,
    operator,
    programs,
    quota,
    references,
    rendering,
    schemas,
    security,
    selections,
    server,
    settings,
    sources,
    sums,
    versions,
)
from k8s.check.rendering import RenderingError, Resource

LEFT_OUT = """skipped: Ray's kinds were not checked against the operator's CustomResourceDefinitions. To check them,
    download the four files helm-chart/kuberay-operator/crds/ray.io_*.yaml of the operator's version from KubeRay's
    repository, and run KUBERAY_CRDS=DIR make k8s-check"""
CHECKS = (
    operator,
    security,
    credentials,
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
    devices,
    settings,
    folders,
    programs,
    alerts,
)
NOTHING: tuple[Sequence[str], Sequence[str]] = ((), ())
SELECTING = (credentials, references, selections, network, availability, programs)
"""The checks that rely on pod labels."""


def problems(resources: list[Resource], crds: schemas.Schemas | None) -> Iterator[str]:
    """Yield all problems in a rendering, each as one line that starts with the object's files."""
    yield from (sources.located(line, resources) for line in _problems(resources, crds))


def _problems(resources: list[Resource], crds: schemas.Schemas | None) -> Iterator[str]:
    shape = list(schemas.problems(resources, crds))
    yield from shape
    if shape:
        return  # the other checks require valid objects
    unlabelled = list(labels.problems(resources))
    yield from unlabelled
    for check in CHECKS:
        if not (unlabelled and check in SELECTING):
            yield from check.problems(resources)


def main(arguments: list[str]) -> int:
    """Check the named overlays, or all by default; print problems and return the exit status."""
    folder = os.environ.get("KUBERAY_CRDS")
    if unknown := sorted(set(arguments) - set(rendering.names())):
        sys.stdout.write(f"there is no overlay {', '.join(unknown)}; overlays: {', '.join(rendering.names())}\n")
        return 2
    try:
        crds = schemas.read_crds(Path(folder)) if folder else None
        rendering.check_kubectl()
        failed = sum(_overlay(overlay, crds) for overlay in arguments or rendering.names())
    except (RenderingError, FileNotFoundError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    if not folder:
        sys.stdout.write(f"{LEFT_OUT}\n")
    return 1 if failed else 0


def _overlay(overlay: str, crds: schemas.Schemas | None) -> int:
    """Check an overlay alone and with its components, print the result, and return the number of problems."""
    seen: set[str] = set()
    for components, search in dict.fromkeys((NOTHING, rendering.COMBINATIONS.get(overlay, NOTHING))):
        added = ", ".join([*components, *search])
        called = f"{overlay} with {added}" if added else overlay
        try:
            resources = rendering.render(overlay, components, search)
        except RenderingError as error:
            seen |= _report(called, 0, [str(error)], seen)
            continue
        found = list(problems(resources, crds))
        seen |= _report(called, len(resources), found, seen)
        if not added and not list(schemas.problems(resources, crds)):
            sys.stdout.writelines(f"    {line}\n" for line in sums.table(overlay, resources))
        if os.environ.get("KUBECONFIG"):
            seen |= _try(called, resources, seen)
    return len(seen)


def _try(called: str, resources: list[Resource], seen: set[str]) -> set[str]:
    """Dry-run the objects that the server can validate; skip kinds whose operators are not installed."""
    versions = server.versions()
    kinds = [(one["apiVersion"], one["kind"]) for one in resources]
    missing = {kind for kind in kinds if kind in schemas.extensions() and kind[0] not in versions}
    tried = [one for one, kind in zip(resources, kinds, strict=True) if kind not in missing]
    answer = server.answer([sources.bare(one) for one in tried])
    other = {kind: server.others(kind[0], versions) for kind in sorted(missing)}
    moved = [
        f"{kind}: the server does not have {ours}; it has {', '.join(has)}"
        for (ours, kind), has in other.items()
        if has
    ]
    found = [sources.located(line, resources) for line in [*answer.problems, *moved]]
    reported = _report(f"{called} on the server", len(tried), found, seen)
    sys.stdout.writelines(f"    {line}\n" for line in answer.warnings)
    absent = sorted(kind for (_, kind), has in other.items() if not has)
    if absent:
        sys.stdout.write(f"    skipped because the server has no such kind: {', '.join(absent)}\n")
    return reported


def _report(called: str, number: int, found: list[str], seen: set[str]) -> set[str]:
    """Print and return the problems in a rendering; problems that were already printed are only counted."""
    new = [line for line in dict.fromkeys(found) if line not in seen]
    known = len(set(found)) - len(new)
    more = f", of which {known} as above" if known else ""
    sys.stdout.write(f"{called}: {number} objects, {len(set(found))} problems{more}\n")
    sys.stdout.writelines(f"    {line}\n" for line in new)
    return set(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
