"""Finds mistakes that KubeRay 1.7 rejects but its CRDs allow, and fields that the operator would own."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from k8s.check.pods import clusters
from k8s.check.rendering import Resource, name
from k8s.check.sources import at

LONGEST_NAME = 47  # characters, because the operator appends suffixes
TOKENS_SINCE = (2, 52)  # first Ray version that supports tokens
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_ORDER = ("DeleteWorkers", "DeleteCluster", "DeleteSelf")
_TAKEN = (
    "the operator adds scaleStrategy to workerGroupSpecs and then owns them, so a second `kubectl apply --server-side` "
    "conflicts; set scaleStrategy: {}"
)
"""The operator adds its finalizer by updating the whole object, and that update always includes this field."""


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield mistakes that the operator would report as errors in an object's status."""
    for resource in resources:
        cluster = clusters(resource)
        if cluster is None:
            continue
        found = [*_name(resource), *_cluster(cluster)]
        if resource["kind"] in ("RayJob", "RayService") and (cluster.get("authOptions") or {}).get(
            "enableK8sTokenAuth"
        ):
            found.append(f"a {resource['kind']} cannot use Kubernetes tokens; set authOptions.secretName")
        if resource["kind"] == "RayJob":
            found += _job(resource["spec"], cluster)
            yield from _deadlines(resource)
        if resource["kind"] == "RayService":
            found += _service(resource["spec"], cluster)
        yield from (f"{name(resource)}: {text}" for text in found)


def _name(resource: Resource) -> Iterator[str]:
    given = resource["metadata"]["name"]
    if len(given) > LONGEST_NAME:
        yield f"the name has {len(given)} characters; the operator allows {LONGEST_NAME}"
    if not _LABEL.fullmatch(given):
        yield "the name must consist of lowercase letters, digits and '-', and start with a letter"


def _cluster(cluster: dict[str, Any]) -> Iterator[str]:
    groups = [("head", cluster["headGroupSpec"])]
    groups += [(f"workers {group['groupName']}", group) for group in cluster.get("workerGroupSpecs", [])]
    scales = bool(cluster.get("enableInTreeAutoscaling"))
    for called, group in groups:
        params = group.get("rayStartParams") or {}
        if group.get("resources") and {"num-cpus", "num-gpus", "memory", "resources"} & params.keys():
            yield f"{called}: resources are set in rayStartParams and in resources; use one"
        if "labels" in params:
            yield f"{called}: labels is not a rayStartParam; use the group's labels"
        policy = group["template"]["spec"].get("restartPolicy", "Never")
        if scales and (cluster.get("autoscalerOptions") or {}).get("version") == "v2" and policy != "Never":
            yield f"{called}: autoscaler v2 needs restartPolicy Never, not {policy}"
        least, most = group.get("minReplicas", 0), group.get("maxReplicas", 0)
        if called != "head" and group.get("scaleStrategy") != {}:
            yield f"{called}: {_TAKEN}"
        if called != "head" and not least <= group.get("replicas", 0) <= most:
            yield f"{called}: replicas are not between minReplicas {least} and maxReplicas {most}"
    yield from _tokens(cluster)
    yield from _memory(cluster)


def _tokens(cluster: dict[str, Any]) -> Iterator[str]:
    options = cluster.get("authOptions") or {}
    if options.get("mode") != "token":
        yield "authOptions.mode is not token: anyone who reaches the dashboard can run code"
        return
    version = tuple(int(part) for part in re.findall(r"\d+", cluster.get("rayVersion", ""))[:2])
    if version < TOKENS_SINCE:
        yield f"tokens need a rayVersion of 2.52 or newer, not {cluster.get('rayVersion') or 'none'}"
    if not options.get("secretName") and not options.get("enableK8sTokenAuth"):
        yield "authOptions.secretName is not set"


def _memory(cluster: dict[str, Any]) -> Iterator[str]:
    """Yield mistakes in the fault-tolerance settings that the operator would reject."""
    head = cluster["headGroupSpec"]
    container = head["template"]["spec"]["containers"][0]
    given = {variable["name"] for variable in container.get("env", [])}
    given |= {param.replace("-", "_").upper() for param in (head.get("rayStartParams") or {})}
    tolerant = cluster.get("gcsFaultToleranceOptions")
    for variable in sorted(given & {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME"}):
        yield f"head: {variable} belongs in gcsFaultToleranceOptions"
    if tolerant and tolerant.get("backend", "redis") == "redis" and not tolerant.get("redisAddress"):
        yield "gcsFaultToleranceOptions has no redisAddress"


def _job(spec: dict[str, Any], cluster: dict[str, Any]) -> Iterator[str]:
    rules = (spec.get("deletionStrategy") or {}).get("deletionRules", [])
    shuts = bool(spec.get("shutdownAfterJobFinishes"))
    if rules and shuts:
        yield "deletionRules and shutdownAfterJobFinishes are mutually exclusive"
    if not rules and not shuts:
        yield "nothing deletes the cluster of a finished job: set deletionRules or shutdownAfterJobFinishes"
    if spec.get("suspend") and not shuts:
        yield "a suspended job needs shutdownAfterJobFinishes"
    if spec.get("ttlSecondsAfterFinished") and not shuts:
        yield "ttlSecondsAfterFinished needs shutdownAfterJobFinishes"
    if spec.get("activeDeadlineSeconds", 1) <= 0:
        yield "activeDeadlineSeconds must be positive"
    for deadline, held in (("preRunningDeadlineSeconds", "waits for nodes"), ("activeDeadlineSeconds", "hangs")):
        if deadline not in spec:
            yield f"{deadline} is missing: an attempt that {held} would never end; set it in seconds per attempt"
    if spec.get("backoffLimit", 0) < 0:
        yield "backoffLimit must not be negative"
    seen: dict[tuple[str, str], int] = {}
    for rule in rules:
        condition = rule["condition"]
        state = condition.get("jobStatus", "") + condition.get("jobDeploymentStatus", "")
        if ("jobStatus" in condition) == ("jobDeploymentStatus" in condition):
            yield "a deletion rule's condition needs either jobStatus or jobDeploymentStatus"
        if rule["policy"] == "DeleteWorkers" and cluster.get("enableInTreeAutoscaling"):
            yield "DeleteWorkers cannot be combined with the autoscaler"
        if (state, rule["policy"]) in seen:
            yield f"two deletion rules have {rule['policy']} for {state}"
        seen[state, rule["policy"]] = condition.get("ttlSeconds", 0)
    for state in {state for state, _ in seen}:
        seconds = [seen[state, policy] for policy in _ORDER if (state, policy) in seen]
        if seconds != sorted(seconds):
            yield f"deletion rules for {state} delete the whole before its parts"


def _deadlines(resource: Resource) -> Iterator[str]:
    """Yield a line if the overall deadline can end a search that is still waiting for nodes.

    Both deadlines start at the same time.
    """
    spec = resource["spec"]
    whole, waiting = spec.get("activeDeadlineSeconds"), spec.get("preRunningDeadlineSeconds")
    if whole and waiting and whole <= waiting:
        yield (
            f"{at(resource, 'spec.activeDeadlineSeconds')}: {whole} s is not longer than preRunningDeadlineSeconds, "
            f"{waiting} s; raise it, so that a search that waited for its nodes still has time to run"
        )


def _service(spec: dict[str, Any], cluster: dict[str, Any]) -> Iterator[str]:
    upgrade = spec.get("upgradeStrategy") or {}
    kinds = ("NewCluster", "NewClusterWithIncrementalUpgrade", "None")
    if upgrade.get("type", "NewCluster") not in kinds:
        yield f"upgradeStrategy.type is not one of {', '.join(kinds)}"
    if upgrade.get("type") == "NewClusterWithIncrementalUpgrade":
        options = upgrade.get("clusterUpgradeOptions") or {}
        if not cluster.get("enableInTreeAutoscaling"):
            yield "an incremental upgrade needs enableInTreeAutoscaling"
        if not options.get("gatewayClassName"):
            yield "an incremental upgrade needs clusterUpgradeOptions.gatewayClassName"
        if not 0 <= options.get("stepSizePercent", -1) <= 100 or options.get("intervalSeconds", 0) <= 0:
            yield "an incremental upgrade needs stepSizePercent of 0 to 100 and intervalSeconds above 0"
    head = cluster["headGroupSpec"]
    if (head.get("headService") or {}).get("metadata", {}).get("name"):
        yield "the head's service cannot have a name of its own"
    ports = {port["name"] for port in head["template"]["spec"]["containers"][0].get("ports", [])}
    if ports and "serve" not in ports:
        yield "head: the port named serve is missing; the operator creates the service from it"
    try:
        config = yaml.safe_load(spec.get("serveConfigV2", ""))
    except yaml.YAMLError:
        config = None
    if not isinstance(config, dict) or not config.get("applications"):
        yield "serveConfigV2 is not YAML with applications"
