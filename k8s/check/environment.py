"""Reads the environment variables of a pod's first container, each with the field that sets it."""

from collections.abc import Iterator
from dataclasses import dataclass

from k8s.check.pods import Pod
from k8s.check.rendering import Resource
from k8s.check.sources import at


@dataclass(frozen=True)
class Setting:
    """The value of an environment variable, and the field that sets it.

    Attributes:
        value: the variable's value.
        owner: the object that contains the field.
        field: path of the field that sets the variable.
    """

    value: str
    owner: Resource
    field: str

    @property
    def start(self) -> str:
        """The start of a message about this variable; see sources.py."""
        return at(self.owner, self.field)


def environment(pod: Pod, resources: list[Resource]) -> dict[str, Setting]:
    """Return the variables by name, without those from Secrets, which are not rendered."""
    maps = {one["metadata"]["name"]: one for one in resources if one["kind"] == "ConfigMap"}
    return dict(_variables(pod, maps))


def _variables(pod: Pod, maps: dict[str, Resource]) -> Iterator[tuple[str, Setting]]:
    """Yield the variables; as in Kubernetes, later ones override earlier ones."""
    for container in pod.spec.get("containers", [])[:1]:
        for source in container.get("envFrom", []):
            if settings := maps.get(source.get("configMapRef", {}).get("name")):
                for key, value in (settings.get("data") or {}).items():
                    yield key, Setting(value, settings, f"data.{key}")
        for variable in container.get("env", []):
            called, reference = variable["name"], (variable.get("valueFrom") or {}).get("configMapKeyRef") or {}
            settings = maps.get(reference.get("name", ""), {})
            if "value" in variable:
                yield called, Setting(variable["value"], pod.owner, pod.path(f"containers[0].env[{called}]"))
            elif reference.get("key") in (settings.get("data") or {}):
                key = reference["key"]
                yield called, Setting(settings["data"][key], settings, f"data.{key}")
