"""Checks the names of settings, and that the endpoint has as many replicas as its workers can run.

The endpoint's settings are read from the source code of `serve`, because importing it requires PyTorch and MLflow.
"""

import ast
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any

import yaml

from k8s.check.environment import environment
from k8s.check.pods import WORKER, Pod, pods
from k8s.check.rendering import ROOT, Resource
from k8s.check.sources import at

PREFIX = "RAYGENRE_"
OTHERS = (
    *("RAYGENRE_API_KEY", "RAYGENRE_CACHE", "RAYGENRE_DATA", "RAYGENRE_PYTHON", "RAYGENRE_STORAGE"),
    "RAYGENRE_STUDY_URL",
)
"""Variables that raygenre reads in addition to the endpoint's settings."""

_SETTINGS = ("serve/settings.py", "serve/admission/limits.py", "serve/jobs/settings.py")
_SCRIPT = "k8s/begin_or_resume.sh"
_SURE = 0.85  # similarity above which an unknown name counts as a misspelling of a known one


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield unknown settings, and numbers of replicas that do not match the workers."""
    lines = [line for pod in pods(resources) for line in _unknown(pod, resources)]
    yield from dict.fromkeys(lines)  # without duplicates, because pods share settings
    for resource in (one for one in resources if one["kind"] == "RayService"):
        yield from _replicas(resource, resources)


@cache
def known() -> frozenset[str]:
    """Return the names of all settings of the endpoint, raygenre and the script that runs a search."""
    fields = {
        f"{PREFIX}{field.target.id.upper()}"
        for path in _SETTINGS
        for part in ast.parse((ROOT / path).read_text()).body
        if isinstance(part, ast.ClassDef) and part.name.endswith("Settings")
        for field in part.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }
    script = re.findall(r"\$\{(\w+):-", (ROOT / _SCRIPT).read_text())
    return frozenset({*fields, *script, *OTHERS, "MLFLOW_TRACKING_URI"})


def _unknown(pod: Pod, resources: list[Resource]) -> Iterator[str]:
    for called, setting in environment(pod, resources).items():
        if called in known():
            continue
        meant = get_close_matches(called, known(), 1, _SURE)
        if meant or called.startswith(PREFIX):
            remedy = f"use {meant[0]}" if meant else "remove it, or see serve/README.md"
            yield f"{setting.start}: there is no such setting; {remedy}"


def _replicas(resource: Resource, resources: list[Resource]) -> Iterator[str]:
    """Yield numbers of replicas that do not match the workers; each worker runs the same number of replicas."""
    workers = [pod for pod in pods([resource]) if pod.role == WORKER]
    each = _per_worker(resource["spec"])
    if not workers or not each:
        return
    given = environment(workers[0], resources)
    for bound in ("min", "max"):
        setting, field = given.get(f"{PREFIX}{bound.upper()}_REPLICAS"), f"{bound}Replicas"
        number = sum(int(pod.group.get(field, 0)) for pod in workers) * each
        if setting and setting.value != str(number):
            place = workers[0].template.removesuffix(".template")
            yield (
                f"{setting.start}: {setting.value} is not {number}, the replicas that fit on {field} workers; "
                f"change it or {at(resource, f'{place}.{field}')}"
            )


def _per_worker(spec: dict[str, Any]) -> int:
    """Return the number of replicas that fit on a worker; 0 if Serve's configuration sets no limit."""
    applications = (yaml.safe_load(spec["serveConfigV2"]) or {}).get("applications", [])
    limits = [one.get("max_replicas_per_node") for part in applications for one in part.get("deployments", [])]
    return limits[0] or 0 if limits else 0
