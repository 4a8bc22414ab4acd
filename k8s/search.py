"""Print an overlay's search as a RayJob for one study, for `kubectl apply`.

Run:
    make k8s-search STUDY=first TRIALS=20 OVERLAY=gpu | kubectl apply --server-side -f -
    python -m k8s.search gpu first 20 --epochs 60     # a new study accepts options of experiments/tune.py

An existing study is resumed until it has the given number of trials. The job and its ConfigMap with settings are both
named search-STUDY. Searches cannot share a ConfigMap, because retries and late-starting workers would then read another
search's settings.
"""

import re
import shlex
import sys
from typing import Any

import yaml

from k8s.check import operator, rendering, sources
from k8s.check.rendering import RenderingError

ENTRYPOINT = "/app/k8s/begin_or_resume.sh"
_STUDY = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
NAME = "search"
"""Name of the job and of the ConfigMap in the overlays."""
LONGEST = operator.LONGEST_NAME - len(f"{NAME}-")


def search(overlay: str, study: str, trials: int, *options: str) -> list[dict[str, Any]]:
    """Return the job and its ConfigMap with settings.

    Raises:
        ValueError: the overlay does not exist, the study's name cannot be part of a job's name, or `trials` is below 1.
        RenderingError: kustomize fails.
    """
    if overlay not in rendering.names():
        raise ValueError(f"there is no overlay {overlay!r}; overlays: {', '.join(rendering.names())}")
    if not _STUDY.fullmatch(study) or len(study) > LONGEST:
        raise ValueError(
            f"the study name {study!r} does not fit a Kubernetes job: use at most {LONGEST} characters of "
            "a-z, 0-9 and '-', and start with a letter"
        )
    if trials < 1:
        raise ValueError(f"TRIALS is {trials}; a search needs at least one trial")
    resources = [sources.bare(resource) for resource in rendering.part(overlay, "search")]
    for resource in resources:
        if resource["kind"] == "RayJob":
            resource["spec"]["entrypoint"] = shlex.join(["bash", ENTRYPOINT, study, str(trials), *options])
            _rename_settings(resource, study)
        if resource["kind"] in ("RayJob", "ConfigMap") and resource["metadata"]["name"] == NAME:
            resource["metadata"]["name"] = f"{NAME}-{study}"
    return resources


def _rename_settings(value: object, study: str) -> None:
    """Rename all references to the ConfigMap, in place."""
    if isinstance(value, list):
        for part in value:
            _rename_settings(part, study)
    elif isinstance(value, dict):
        for field in ("configMapRef", "configMapKeyRef", "configMap"):
            if (value.get(field) or {}).get("name") == NAME:
                value[field] = value[field] | {"name": f"{NAME}-{study}"}
        for part in value.values():
            _rename_settings(part, study)


def main(arguments: list[str]) -> int:
    """Print the search and return the exit status."""
    try:
        overlay, study, trials, *options = arguments
        number = int(trials)
    except ValueError:
        sys.stderr.write("usage: make k8s-search STUDY=NAME TRIALS=N [OVERLAY=dev|gpu|prod]\n")
        return 2
    try:
        sys.stdout.write(yaml.safe_dump_all(search(overlay, study, number, *options), sort_keys=False))
    except (ValueError, RenderingError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
