"""Connects to Ray: a private cluster on this machine, unless an address is given."""

import logging
import os
from dataclasses import replace

import ray
from ray._private import worker as ray_worker
from ray.exceptions import RayError as RayError  # re-exported for commands, which do not import Ray directly

from raygenre.errors import RaygenreError
from raygenre.search.space.config import Resources
from raygenre.system.ray_folder import use_ray_folder


class ClusterError(RaygenreError, RuntimeError):
    """No cluster was found, or the cluster cannot run a trial; the message explains what to change."""


def connect(address: str | None) -> str:
    """Start a private local cluster, or connect to the one at `address`; return a line that describes it.

    Without an address, Ray does not look for a running cluster, because it would wait several minutes for a cluster
    that an earlier run left behind.

    Raises:
        ClusterError: nothing responds at the address, or the address is a Ray Client address.
        RayFolderError: no folder on this machine is suitable for the files of a private cluster.
    """
    if address and address.startswith("ray://"):
        raise ClusterError(
            f"{address} is a Ray Client address, which does not support Tune callbacks; run this program on a node of "
            "the cluster with --address auto, or submit it with `ray job submit`"
        )
    if not address:
        use_ray_folder()
    # By default, Ray keeps retrying a training run that needs too much memory.
    os.environ.setdefault("RAY_task_oom_retries", "1")
    # By default, a waiting torch thread spins: on two busy cores, two threads took six times as long as one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.pop("GOMP_SPINCOUNT", None)  # set in the image for the endpoint; overrides OMP_WAIT_POLICY
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's future default, which avoids a warning
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        raise ClusterError(
            f"no Ray cluster responds at {address}: {error}; check --address and, if the cluster requires a token, "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        ) from error
    except ValueError as error:
        raise ClusterError(f"{address} is not the address of a Ray cluster: {error}; check --address") from error
    # Even without `log_to_driver`, Ray prints the tracebacks of every worker that dies, and offers no option to prevent
    # this.
    ray_worker._worker_logs_enabled = False
    total = ray.cluster_resources()
    size = f"{total.get('CPU', 0):g} CPUs, {total.get('GPU', 0):g} GPUs"
    return f"{'cluster at ' + address if address else 'private cluster on this machine'}, {size}"


def resources(cpus: float | None, gpus: float | None, max_concurrent: int, *, private: bool = False) -> Resources:
    """Return the resources of a trial: by default one CPU, and one GPU if the cluster has any.

    With one thread per trial, a search completes more trials per hour than with several: on two cores, two concurrent
    trials with one thread each are faster than two successive trials with two threads each. The final training runs
    alone, so on a private cluster it uses all CPUs that the trials shared. On a shared cluster, it uses no more CPUs
    than a trial, because other users may be waiting for the rest.

    Raises:
        ClusterError: no node of the cluster is large enough for a trial.
    """
    total = ray.cluster_resources()
    if gpus is None:
        gpus = 1.0 if total.get("GPU", 0) >= 1 else 0.0
    requested = Resources(1.0 if cpus is None else cpus, gpus, max_concurrent)
    for kind, amount in (("CPU", requested.cpus), ("GPU", requested.gpus)):
        largest = max((node["Resources"].get(kind, 0) for node in ray.nodes() if node["Alive"]), default=0)
        if amount > largest:
            raise ClusterError(
                f"a trial needs {amount:g} {kind}s, but the largest node has {largest:g}; "
                f"lower --{kind.lower()}s-per-trial"
            )
    if private and not requested.gpus:
        return replace(requested, final_cpus=min(total["CPU"], max_concurrent * requested.cpus or total["CPU"]))
    return requested


def slots(requested: Resources) -> int:
    """Return how many training runs fit on the cluster at the same time, at least 1."""
    fitting = 0
    for node in nodes():
        per_kind = [(node["CPU"], requested.cpus), (node["GPU"], requested.gpus)]
        fitting += min(int(float(offered) / amount + 1e-9) for offered, amount in per_kind if amount)
    return max(1, min(fitting, requested.max_concurrent or fitting))


def nodes() -> list[dict[str, float | str]]:
    """Return the resources of each machine in the cluster: CPUs, GPUs and their type, and memory in bytes."""
    machines = []
    for node in ray.nodes():
        if node["Alive"]:
            offered = node["Resources"]
            kinds = [name.removeprefix("accelerator_type:") for name in offered if name.startswith("accelerator_type:")]
            sizes = {name: offered.get(name, 0.0) for name in ("CPU", "GPU", "memory")}
            machines.append(sizes | ({"accelerator": ", ".join(sorted(kinds))} if kinds else {}))
    return machines
