"""Checks pods against the `restricted` profile, and finds mounted tokens and inline secrets.

Containers that the operator adds must also satisfy the profile; see pod_security.py.
"""

import re
from collections.abc import Iterator
from typing import Any

from k8s.check import pod_security
from k8s.check.pods import Pod, clusters, pods
from k8s.check.rendering import Resource, name

TOKEN_PLACE = "/var/run/secrets/kubernetes.io/serviceaccount"
_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|TOKEN|SECRET|CREDENTIAL|API_?KEYS?$|ACCESS_KEY", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"://[^/\s:@]+:[^/\s@$]+@|-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b")
_SECRET_LINE = re.compile(
    r"^\s*[\"']?([\w.-]*(?:password|passwd|secret|token|api_?key)[\w.-]*)[\"']?\s*[=:]\s*[\"']?[^\s\"'$]",
    re.IGNORECASE | re.MULTILINE,
)
_SECRET_OPTION = re.compile(
    r"--(requirepass|masterauth|[\w-]*(?:password|passwd|token))[=\s]+[\"']?[^\s\"'$]", re.IGNORECASE
)
_INNOCENT = re.compile(r"_FILE$|^RAY_AUTH_MODE$")


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield pods that the namespace's admission would reject, and secrets and tokens that are exposed."""
    for pod in pods(resources):
        yield from (f"{pod.where}: {text}" for text in [*pod_security.of_pod(pod), *_token(pod)])
        for container in pod.containers:
            where = f"{pod.where}, container {container['name']}"
            yield from (
                f"{where}: {text}" for text in [*pod_security.of_container(pod, container), *_literals(container)]
            )
    for resource in resources:
        yield from (f"{name(resource)}: {text}" for text in _inline(resource))
    for resource in (one for one in resources if one["kind"] == "Namespace"):
        if resource["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{name(resource)}: it does not enforce the pod security profile restricted"


def _token(pod: Pod) -> Iterator[str]:
    """Yield missing and unwanted tokens: the autoscaler must have one, and other containers must not."""
    if pod.spec.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken is not false"
    projected = {
        volume["name"]
        for volume in pod.spec.get("volumes", [])
        if any("serviceAccountToken" in source for source in (volume.get("projected") or {}).get("sources", []))
    }
    for container in pod.containers:
        mounts = container.get("volumeMounts", [])
        has = any(mount["name"] in projected for mount in mounts)
        if container["name"] == "autoscaler":
            if not any(mount["name"] in projected and mount["mountPath"] == TOKEN_PLACE for mount in mounts):
                yield f"the autoscaler has no token at {TOKEN_PLACE}"
        elif has:
            yield f"container {container['name']} mounts an API server token"


def _literals(container: dict[str, Any]) -> Iterator[str]:
    for variable in container.get("env", []):
        given, value = variable["name"], variable.get("value")
        if value and _SECRET_NAME.search(given) and not _INNOCENT.search(given):
            yield f"{given} is an inline secret; take it from a Secret"
    words = " ".join([*container.get("command", []), *container.get("args", [])])
    for option in _SECRET_OPTION.findall(words):
        yield f"--{option} has an inline secret; take it from a Secret through a variable"


def _inline(resource: Resource) -> Iterator[str]:
    if resource["kind"] == "Secret":
        yield "a manifest must not contain secrets; create them by hand or with an operator"
        return
    if resource["kind"] == "ConfigMap":
        for key, value in (resource.get("data") or {}).items():
            if _SECRET_NAME.search(key) and not _INNOCENT.search(key) and value:
                yield f"{key} is a secret in a ConfigMap"
            for line in _SECRET_LINE.findall(value):
                yield f"{key} sets {line}: a secret in a ConfigMap"
    tolerant = (clusters(resource) or {}).get("gcsFaultToleranceOptions") or {}
    for field in ("redisPassword", "redisUsername"):
        if (tolerant.get(field) or {}).get("value"):
            yield f"{field} is an inline secret; take it from a Secret with valueFrom"
    for text in _texts(resource):
        if _SECRET_TEXT.search(text):
            yield "it contains a password or a key"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
