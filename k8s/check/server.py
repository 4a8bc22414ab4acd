"""What a real API server says of an overlay, without keeping any of it: for whoever has one with KubeRay's CRDs."""

from collections.abc import Iterator

import yaml

from k8s.check.rendering import RenderingError, Resource, kubectl, name

MANAGER = "k8s-check"


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield each object that the server refuses.

    A dry run makes no namespace. Where there is none yet, its objects are tried in `default`, with the same schemas and
    defaults and without the namespace's own admission.
    """
    known = kubectl("get", "namespaces", "--output=name").split()
    for resource in resources:
        metadata = dict(resource["metadata"])
        if "namespace" in metadata and f"namespace/{metadata['namespace']}" not in known:
            metadata["namespace"] = "default"
        try:
            kubectl(
                "apply",
                "--server-side",
                "--force-conflicts",
                f"--field-manager={MANAGER}",
                "--dry-run=server",
                "--validate=strict",
                "--filename=-",
                text=yaml.safe_dump({**resource, "metadata": metadata}),
            )
        except RenderingError as error:
            yield f"{name(resource)}: the server refuses it: {error}"
