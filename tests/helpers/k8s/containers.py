"""Runs containers of a rendered overlay as local processes, with their commands and settings."""

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
    """The first container of a pod.

    Args:
        where: the pod's name as shown in the messages of the manifest check.
        secrets: the secrets that users would have created, by name.
        places: replacements for strings in the manifests, such as local folders.
    """

    def __init__(self, resources: list[Resource], where: str, secrets: Secrets, places: Mapping[str, str]) -> None:
        [self.pod] = [one for one in pods(resources) if one.where == where]
        self.spec: dict[str, Any] = self.pod.spec["containers"][0]
        self._maps = {one["metadata"]["name"]: one["data"] for one in resources if one["kind"] == "ConfigMap"}
        self._secrets = secrets
        self._places = places
        self.environment = {name: self.here(value) for name, value in self._settings().items()}

    def here(self, text: str) -> str:
        """Return a manifest's text with the strings in `places` replaced by local ones."""
        for there, place in self._places.items():
            text = text.replace(there, place)
        return text

    @property
    def command(self) -> list[str]:
        """The command line, with variables expanded as in Kubernetes."""
        parts = [self.here(part) for part in [*self.spec["command"], *self.spec.get("args", [])]]
        return [re.sub(r"\$\((\w+)\)", lambda match: self.environment[match[1]], part) for part in parts]

    def start(self, log: Path) -> "subprocess.Popen[bytes]":
        """Start the container's command in a new process group."""
        path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
        with log.open("ab") as file:
            return subprocess.Popen(
                self.command,
                env=os.environ | {"PATH": path} | self.environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def files(self, volume: Mapping[str, Any]) -> dict[str, str]:
        """Return the files of a ConfigMap or Secret volume: a mapping from path to content."""
        if "secret" in volume:
            return dict(self._secrets[volume["secret"]["secretName"]])
        given = self._maps[volume["configMap"]["name"]]
        items = volume["configMap"].get("items") or [{"key": key, "path": key} for key in given]
        return {item["path"]: self.here(given[item["key"]]) for item in items}

    def _settings(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in self.spec.get("envFrom", []):
            if "configMapRef" in source:
                found |= self._maps[source["configMapRef"]["name"]]
            else:
                found |= self._secrets[source["secretRef"]["name"]]
        for variable in self.spec.get("env", []):
            found[variable["name"]] = variable.get("value") or self._keyed(variable["valueFrom"])
        return found

    def _keyed(self, source: dict[str, Any]) -> str:
        for field, given in (("configMapKeyRef", self._maps), ("secretKeyRef", self._secrets)):
            if field in source:
                return given[source[field]["name"]][source[field]["key"]]
        raise ValueError(f"{source} refers to neither a ConfigMap nor a Secret")
