"""Check every overlay, by itself and with the components that go with it.

Run:
    make k8s-check                         # or: python -m k8s.check; half a minute
    KUBERAY_CRDS=DIR make k8s-check        # Ray's kinds against the operator's CustomResourceDefinitions too
    KUBECONFIG=FILE make k8s-check         # and a server-side dry run of every overlay
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from k8s.check import (
    alerts,
    availability,
    memory,
    network,
    operator,
    references,
    rendering,
    schemas,
    security,
    server,
    versions,
)
from k8s.check.rendering import RenderingError, Resource

LEFT_OUT = """left out: Ray's kinds against the operator's CustomResourceDefinitions. They are the four files
    ray.io_*.yaml of helm-chart/kuberay-operator/crds in KubeRay's repository, at the version of the operator; then
    KUBERAY_CRDS=DIR make k8s-check"""
CHECKS = (operator, security, references, network, versions, availability, memory, alerts)


def problems(resources: list[Resource], crds: schemas.Schemas | None) -> Iterator[str]:
    """Yield everything that is wrong in a rendering."""
    shape = list(schemas.problems(resources, crds))
    yield from shape
    if not shape:  # what has not its shape is not read further
        for check in CHECKS:
            yield from check.problems(resources)


def main() -> int:
    """Check, print what is wrong, and return the exit status."""
    folder = os.environ.get("KUBERAY_CRDS")
    try:
        crds = schemas.read_crds(Path(folder)) if folder else None
        rendering.check_kubectl()
        failed = 0
        for called, (overlay, beside, search) in rendering.COMBINATIONS.items():
            whole = rendering.render(overlay)
            failed += _report(called, whole, list(problems(whole, crds)))
            more = rendering.render(overlay, beside, search)
            failed += _report(f"{called} with {', '.join([*beside, *search])}", more, list(problems(more, crds)))
            if os.environ.get("KUBECONFIG"):
                failed += _report(f"{called} on the server", whole, list(server.problems(whole)))
    except (RenderingError, FileNotFoundError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    if not folder:
        sys.stdout.write(f"{LEFT_OUT}\n")
    return 1 if failed else 0


def _report(called: str, resources: list[Resource], found: list[str]) -> int:
    sys.stdout.write(f"{called}: {len(resources)} objects, {len(found)} problems\n")
    sys.stdout.writelines(f"    {line}\n" for line in found)
    return len(found)


if __name__ == "__main__":
    sys.exit(main())
