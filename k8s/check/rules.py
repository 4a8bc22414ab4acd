"""CRD validation beyond JSON Schema: CEL rules, and lists whose items have key fields."""

from collections.abc import Callable, Iterator
from typing import Any

import jsonschema

RULES: dict[str, Callable[[Any], bool]] = {
    "self == oldSelf": lambda value: True,  # applies only to updates
    "self in ['ray.io/kuberay-operator', 'kueue.x-k8s.io/multikueue']": lambda value: (
        value in ("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue")
    ),
    "!(has(self.jobStatus) && has(self.jobDeploymentStatus))": lambda value: (
        not ("jobStatus" in value and "jobDeploymentStatus" in value)
    ),
    "has(self.jobStatus) || has(self.jobDeploymentStatus)": lambda value: (
        "jobStatus" in value or "jobDeploymentStatus" in value
    ),
    "!((has(self.onSuccess) || has(self.onFailure)) && has(self.deletionRules))": lambda value: (
        not (("onSuccess" in value or "onFailure" in value) and "deletionRules" in value)
    ),
    "((has(self.onSuccess) && has(self.onFailure)) || has(self.deletionRules))": lambda value: (
        ("onSuccess" in value and "onFailure" in value) or "deletionRules" in value
    ),
}
"""All rules in KubeRay's CRDs, each as CEL and as a Python function."""

KEPT = ("x-kubernetes-validations", "x-kubernetes-list-map-keys")
"""Keywords of structural schemas that JSON Schema lacks."""

_Errors = Iterator[jsonschema.ValidationError]


def _told(validator: object, rules: list[dict[str, str]], value: object, schema: object) -> _Errors:
    for rule in rules:
        holds = RULES.get(rule["rule"])
        if holds is None:
            yield jsonschema.ValidationError(f"the CRD has a rule that rules.py lacks: {rule['rule']}")
        elif not holds(value):
            yield jsonschema.ValidationError(rule.get("message", rule["rule"]))


def _apart(validator: object, keys: list[str], value: list[dict[str, Any]], schema: dict[str, Any]) -> _Errors:
    """Yield items without a key and items with duplicate keys, because the API server merges such lists by key."""
    filled = schema.get("items", {}).get("properties", {})
    seen: set[tuple[object, ...]] = set()
    for item in value:
        key = tuple(item.get(one, filled.get(one, {}).get("default")) for one in keys)
        if None in key:
            yield jsonschema.ValidationError(f"an item lacks its key {' or '.join(keys)}")
        elif key in seen:
            yield jsonschema.ValidationError(f"two items have the same {' and '.join(keys)}: {key}")
        seen.add(key)


Validator = jsonschema.validators.extend(jsonschema.Draft7Validator, dict(zip(KEPT, (_told, _apart), strict=True)))
