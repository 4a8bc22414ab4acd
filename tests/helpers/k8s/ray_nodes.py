"""The command lines and settings that the operator adds to the containers of a Ray cluster.

Source: KubeRay 1.7, pod.go. GPUs are omitted because test machines have none. The pod names for the autoscaler are
omitted too.
"""

from typing import Any

from k8s.check.pods import HEAD, Pod, clusters

GCS = 6379
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_SERVING = {
    "RAY_timeout_ms_task_wait_for_death_info": "0",
    "RAY_gcs_server_request_timeout_seconds": "5",
    "RAY_SERVE_KV_TIMEOUT_S": "5",
}


def head_service(pod: Pod) -> str:
    """Return the host name by which workers reach the head."""
    return f"{pod.owner['metadata']['name']}-head-svc.raygenre.svc.cluster.local"


def command(pod: Pod) -> list[str]:
    """Return the command line of a node."""
    params = dict(_group(pod)["rayStartParams"])
    limits = pod.spec["containers"][0]["resources"]["limits"]
    params |= {"block": "true"}
    params.setdefault("num-cpus", limits["cpu"])
    params.setdefault("memory", str(_bytes(limits["memory"])))
    if pod.role == HEAD:
        params |= {"no-monitor": "true"} if _cluster(pod)["enableInTreeAutoscaling"] else {}
        params |= {"redis-password": "$REDIS_PASSWORD"} if _tolerance(pod) else {}
    else:
        params["address"] = f"{head_service(pod)}:{GCS}"
    options = [f"--{key}" if value == "true" else f"--{key}={value}" for key, value in sorted(params.items())]
    start = ["ray", "start", *(["--head"] if pod.role == HEAD else []), *options]
    return ["/bin/bash", "-c", f"ulimit -n 65536; {' '.join(start)}"]


def settings(pod: Pod, secrets: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the environment variables that the operator adds to a node's container."""
    host = "127.0.0.1" if pod.role == HEAD else head_service(pod)
    found = {"RAY_ADDRESS": f"{host}:{GCS}", "RAY_PORT": str(GCS)} | token(pod, secrets)
    found |= _SERVING if pod.owner["kind"] == "RayService" else {}
    if pod.role == HEAD and (_cluster(pod).get("autoscalerOptions") or {}).get("version") == "v2":
        found["RAY_enable_autoscaler_v2"] = "true"
    tolerance = _tolerance(pod)
    if tolerance and pod.role == HEAD:
        key = tolerance["redisPassword"]["valueFrom"]["secretKeyRef"]
        found["RAY_external_storage_namespace"] = "the-uid-of-the-cluster"
        found["RAY_REDIS_ADDRESS"] = tolerance["redisAddress"]
        found["REDIS_PASSWORD"] = secrets[key["name"]][key["key"]]
    elif tolerance:
        found["RAY_gcs_rpc_server_reconnect_timeout_s"] = "600"
    return found


def token(pod: Pod, secrets: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the environment variables that pass the token to a node or a job's submitter."""
    options = _cluster(pod)["authOptions"]
    return {"RAY_AUTH_MODE": options["mode"], "RAY_AUTH_TOKEN": secrets[options["secretName"]]["auth_token"]}


def _cluster(pod: Pod) -> dict[str, Any]:
    cluster = clusters(pod.owner)
    assert cluster, f"{pod.where} does not belong to a Ray cluster"
    return cluster


def _group(pod: Pod) -> dict[str, Any]:
    cluster = _cluster(pod)
    groups = {f"workers {group['groupName']}": group for group in cluster["workerGroupSpecs"]}
    found: dict[str, Any] = (groups | {"head": cluster["headGroupSpec"]})[pod.where.partition(", ")[2]]
    return found


def _tolerance(pod: Pod) -> dict[str, Any]:
    return _cluster(pod).get("gcsFaultToleranceOptions") or {}


def _bytes(quantity: str) -> int:
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]
