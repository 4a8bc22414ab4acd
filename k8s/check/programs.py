"""Checks that the programs of pods exist, and that servers listen where clients connect."""

import ast
import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from k8s.check.environment import environment
from k8s.check.pods import Pod, pods
from k8s.check.references import addresses
from k8s.check.rendering import ROOT, Resource
from k8s.check.sources import at

APP = "/app/"
"""The image's folder that contains the project."""

SCRIPT = "/app/k8s/begin_or_resume.sh"
MIDDLEWARE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
_HOSTS, _PORT = "--allowed-hosts", "--port"


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield references to missing programs, mismatched ports, and host names that a server would reject."""
    found = list(pods(resources))
    for resource in resources:
        if resource["kind"] == "RayJob":
            yield from (f"{at(resource, 'spec.entrypoint')}: {text}" for text in _entrypoint(resource["spec"]))
        if resource["kind"] == "RayService":
            yield from (f"{at(resource, 'spec.serveConfigV2')}: {text}" for text in _application(resource["spec"]))
    middlewares = [environment(pod, resources).get(MIDDLEWARE) for pod in found]
    for setting in {one.value: one for one in middlewares if one}.values():
        if not _exists(setting.value):
            yield f"{setting.start}: {setting.value} does not exist; use serve.network.proxy_middleware.middlewares"
    for pod in found:
        for number, container in enumerate(pod.spec.get("containers", [])):
            for text in [*_port(container), *_hosts(pod, container, resources)]:
                yield f"{pod.at(f'containers[{number}].args')}: {text}"


def _entrypoint(spec: dict[str, Any]) -> Iterator[str]:
    try:
        words = shlex.split(spec.get("entrypoint", ""))
    except ValueError as error:
        yield f"it is not a shell command ({error}); use `bash {SCRIPT} STUDY TRIALS`"
        return
    files = [word for word in words if word.startswith(APP)]
    if not files and not any(_module(name) for option, name in pairwise(words) if option == "-m"):
        yield f"it runs no file below {APP}; use `bash {SCRIPT} STUDY TRIALS`"
    for path in files:
        if not (ROOT / path.removeprefix(APP)).is_file():
            yield f"{path} does not exist in the image; use `bash {SCRIPT} STUDY TRIALS`"
    if SCRIPT in words:
        given = words[words.index(SCRIPT) + 1 :]
        if len(given) < 2 or not given[1].isdecimal() or given[1] == "0":
            yield f"{Path(SCRIPT).name} needs a study and a number of trials; use `bash {SCRIPT} STUDY TRIALS`"


def _application(spec: dict[str, Any]) -> Iterator[str]:
    for application in (yaml.safe_load(spec["serveConfigV2"]) or {}).get("applications", []):
        path = application.get("import_path", "")
        if not _exists(path):
            yield f"import_path {path!r} does not exist; use serve.app:app"
            continue
        module = _module(re.split(r"[:.](?=\w+$)", path)[0])
        names = set(re.findall(r"@serve\.deployment\(name=\"(\w+)\"", module.read_text())) if module else set()
        for deployment in application.get("deployments", []):
            if names and deployment["name"] not in names:
                yield f"{path} has no deployment {deployment['name']}; use {', '.join(sorted(names))}"


def _exists(path: str) -> bool:
    """Return whether a project module defines the last part of an import path."""
    dotted, _, attribute = path.replace(":", ".").rpartition(".")
    module = _module(dotted)
    return module is not None and attribute in _defined(module.read_text())


@cache
def _defined(text: str) -> frozenset[str]:
    """Return the names that a module defines, without importing it."""
    names: set[str] = set()
    for part in ast.parse(text).body:
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(part.name)
        elif isinstance(part, ast.Assign):
            names |= {target.id for target in part.targets if isinstance(target, ast.Name)}
        elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            names.add(part.target.id)
    return frozenset(names)


def _module(dotted: str) -> Path | None:
    base = ROOT.joinpath(*dotted.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if dotted and path.is_file()), None)


def _port(container: dict[str, Any]) -> Iterator[str]:
    ports = [str(one["containerPort"]) for one in container.get("ports", [])]
    for given in _options(container, _PORT):
        if given not in ports:
            yield f"{_PORT} {given} is not one of the container's ports, {', '.join(ports) or 'none'}; make them equal"


def _hosts(pod: Pod, container: dict[str, Any], resources: list[Resource]) -> Iterator[str]:
    """Yield addresses from settings with host names that the pod's server would reject."""
    services = {one["metadata"]["name"]: one for one in resources if one["kind"] == "Service"}
    wanted = {address for resource in resources for address in addresses(resource)}
    for allowed in _options(container, _HOSTS):
        for called, port in sorted(wanted):
            selector = services[called]["spec"].get("selector") if called in services else None
            if not selector or not selector.items() <= pod.labels.items():
                continue
            if not any(fnmatch(f"{called}:{port}", one.strip()) for one in allowed.split(",")):
                yield f"{_HOSTS} lacks {called}:{port}, the address that clients use, so they would get 403; add it"


def _options(container: dict[str, Any], option: str) -> Iterator[str]:
    """Yield the values of a command-line option, passed as `--option=value` or as two arguments."""
    words = [*container.get("command", []), *container.get("args", [])]
    for word, following in pairwise([*words, ""]):
        if word == option:
            yield following
        elif word.startswith(f"{option}="):
            yield word.partition("=")[2]
