"""A container of a rendered overlay as a process on this machine: its own command, arguments and settings."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from k8s.check.pods import pods
from k8s.check.rendering import ROOT, Resource

Secrets = Mapping[str, Mapping[str, str]]


class Container:
    """One container.

    Args:
        where: the pod, as the check calls it.
        secrets: by name, what people would have created.
        places: folders and other words of the manifests, and what they are here.
    """

    def __init__(self, resources: list[Resource], where: str, secrets: Secrets, places: Mapping[str, str]) -> None:
        [pod] = [one for one in pods(resources) if one.where == where]
        self._spec = pod.spec["containers"][0]
        self._maps = {one["metadata"]["name"]: one["data"] for one in resources if one["kind"] == "ConfigMap"}
        self._secrets = secrets
        self._places = places
        self.environment = {name: self.here(value) for name, value in self._settings().items()}

    def here(self, text: str) -> str:
        """A text of the manifests as it reads on this machine."""
        for there, place in self._places.items():
            text = text.replace(there, place)
        return text

    @property
    def command(self) -> list[str]:
        """The command line, with variables filled in as Kubernetes does."""
        parts = [self.here(part) for part in [*self._spec["command"], *self._spec.get("args", [])]]
        return [re.sub(r"\$\((\w+)\)", lambda match: self.environment[match[1]], part) for part in parts]

    def start(self, log: Path) -> "subprocess.Popen[bytes]":
        """Run it, in a process group of its own."""
        path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
        with log.open("ab") as file:
            return subprocess.Popen(
                self.command,
                env=os.environ | {"PATH": path} | self.environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def _settings(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in self._spec.get("envFrom", []):
            if "configMapRef" in source:
                found |= self._maps[source["configMapRef"]["name"]]
            else:
                found |= self._secrets[source["secretRef"]["name"]]
        for variable in self._spec.get("env", []):
            found[variable["name"]] = variable.get("value") or self._keyed(variable["valueFrom"])
        return found

    def _keyed(self, source: dict[str, Any]) -> str:
        for field, given in (("configMapKeyRef", self._maps), ("secretKeyRef", self._secrets)):
            if field in source:
                return given[source[field]["name"]][source[field]["key"]]
        raise ValueError(f"{source} names neither a ConfigMap nor a Secret")
