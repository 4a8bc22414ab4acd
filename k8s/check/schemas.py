"""Checks every object against the schema of its kind, and rejects unknown fields.

Core kinds are checked against Kubernetes' own schemas, Ray's kinds against the operator's CRDs, and the few kinds of
other operators against `extensions.yaml`, which contains only the fields that are used here. `rules.py` contains the
API server's additional checks for Ray's kinds. The pods that the operator creates from a Ray kind are also checked
against Kubernetes' schemas, since no CRD describes the fields that the operator adds.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from k8s.check import rules
from k8s.check.pods import pods, template
from k8s.check.rendering import Resource, name

VERSION = "1.36"
"""The version of Kubernetes whose schemas are used."""

EXTENSIONS = Path(__file__).with_name("extensions.yaml")
RAY = "ray.io/"
KEPT = (
    *("type", "enum", "minimum", "maximum", "pattern", "minLength", "maxLength", "minItems", "maxItems", "default"),
    *rules.KEPT,
)
"""The keywords of structural schemas that are kept and checked."""

Schemas = Mapping[tuple[str, str], dict[str, Any]]
"""Schemas by apiVersion and kind."""


def problems(resources: list[Resource], crds: Schemas | None) -> Iterator[str]:
    """Yield violations of the schemas.

    Args:
        crds: schemas of Ray's kinds; None to skip these kinds.
    """
    for resource in resources:
        kind = (resource["apiVersion"], resource["kind"])
        if kind[0].startswith(RAY):
            unfit = [] if crds is None else list(_ray(resource, crds))
            yield from unfit
            for pod in [] if unfit else pods([resource]):
                yield from (f"{pod.where}, as {line}" for line in _core(json.dumps(template(pod), sort_keys=True)))
        elif kind in extensions():
            yield from _unfit(resource, extensions()[kind])
        else:
            yield from _core(json.dumps(resource, sort_keys=True))


def read_crds(folder: Path) -> Schemas:
    """Read the schemas of CustomResourceDefinitions, and make them reject unknown fields.

    Raises:
        FileNotFoundError: the folder contains no CustomResourceDefinition.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.glob("*.yaml")):
        crd = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)  # the C loader, because the CRDs total several MB
        for version in crd["spec"]["versions"]:
            key = (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
            schema = _closed(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            found[key] = schema
    if not found:
        raise FileNotFoundError(f"{folder} contains no CustomResourceDefinition")
    return found


@cache
def extensions() -> Schemas:
    """Return the schemas of other operators' kinds; a cluster may not have all of these kinds."""
    kinds = yaml.safe_load(EXTENSIONS.read_text())
    return {(kind["apiVersion"], kind["kind"]): _closed(kind["schema"]) for kind in kinds}


@cache
def _core(text: str) -> tuple[str, ...]:
    """Return the problems found in a core object (JSON); cached, since overlays share most objects."""
    resource = json.loads(text)
    try:
        kubernetes_validate.validate(resource, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        place = ".".join(str(part) for part in error.path)
        return (f"{name(resource)}: {place or 'the object'}: {error.message[:300]}",)
    except kubernetes_validate.SchemaNotFoundError:
        return (f"{name(resource)}: Kubernetes {VERSION} has no kind {resource['apiVersion']} {resource['kind']}",)
    return ()


def _ray(resource: Resource, crds: Schemas) -> Iterator[str]:
    schema = crds.get((resource["apiVersion"], resource["kind"]))
    if schema is None:
        yield f"{name(resource)}: the operator has no kind {resource['apiVersion']} {resource['kind']}"
    else:
        yield from _unfit(resource, schema)


def _unfit(resource: Resource, schema: dict[str, Any]) -> Iterator[str]:
    for error in rules.Validator(schema).iter_errors(resource):
        yield f"{name(resource)}: {error.json_path.removeprefix('$.')}: {error.message[:300]}"


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Turn a structural schema into a JSON Schema that rejects all fields that the API server would drop or reject."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return {}
    kept = {key: value for key, value in schema.items() if key in KEPT}
    if schema.get("x-kubernetes-int-or-string"):
        kept["type"] = ["integer", "string"]
    properties = schema.get("properties", {})
    if schema.get("type") == "object":
        kept["properties"] = {key: _closed(value) for key, value in properties.items()}
        more = schema.get("additionalProperties", False)
        kept["additionalProperties"] = _closed(more) if isinstance(more, dict) else more
        # The API server fills in defaults before it checks for required fields.
        kept["required"] = [key for key in schema.get("required", []) if "default" not in properties.get(key, {})]
    if "items" in schema:
        kept["items"] = _closed(schema["items"])
    if schema.get("nullable"):
        return {"anyOf": [kept, {"type": "null"}]}
    return kept
