"""Ray: a private cluster on this machine, unless an address is given."""

import logging
import os
from dataclasses import replace

import ray
from ray.exceptions import RayError as RayError  # for scripts, which do not import Ray themselves

from raygenre.errors import RaygenreError
from raygenre.search.space.config import Resources


class ClusterError(RaygenreError, RuntimeError):
    """No cluster, or not one that can run a single trial."""


def connect(address: str | None) -> str:
    """Start a private local cluster, or join the one at `address`; return a line that says which.

    A local cluster is never looked up: Ray would wait minutes for one whose address an earlier run left behind.

    Raises:
        ClusterError: nothing answers at the address.
    """
    if address and address.startswith("ray://"):
        raise ClusterError(
            f"{address} is a Ray Client address, through which a search loses its callbacks; run this script on a node "
            "of the cluster with --address auto, or submit it with `ray job submit`"
        )
    os.environ.setdefault("RAY_task_oom_retries", "1")  # for ever by default, where a training needs too much memory
    # A torch thread that waits for another spins otherwise: on two busy cores, two threads took six times one's time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the future default, without its warning
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {error}") from error
    found = ray.cluster_resources()
    size = f"{found.get('CPU', 0):g} CPUs, {found.get('GPU', 0):g} GPUs"
    return f"Ray: {'cluster at ' + address if address else 'private cluster on this machine'}, {size}"


def resources(cpus: float | None, gpus: float | None, max_concurrent: int, *, private: bool = False) -> Resources:
    """Fill in what was not asked for: a GPU for each trial where the cluster has any, one CPU otherwise.

    One thread a trial trains more trials an hour than several: two side by side on two cores beat one on both. The
    final training is alone and takes all that the trials could have together, if the cluster is private; others may
    wait for the CPUs of a shared one.

    Raises:
        ClusterError: no node of the cluster can hold one such trial.
    """
    found = ray.cluster_resources()
    if gpus is None:
        gpus = 1.0 if found.get("GPU", 0) >= 1 else 0.0
    asked = Resources(1.0 if cpus is None else cpus, gpus, max_concurrent)
    for kind, amount in (("CPU", asked.cpus), ("GPU", asked.gpus)):
        most = max((node["Resources"].get(kind, 0) for node in ray.nodes() if node["Alive"]), default=0)
        if amount > most:
            raise ClusterError(
                f"a trial asks for {amount:g} {kind}s, and the largest node has {most:g}; "
                f"lower --{kind.lower()}s-per-trial"
            )
    if private and not asked.gpus:
        return replace(asked, final_cpus=min(found["CPU"], max_concurrent * asked.cpus or found["CPU"]))
    return asked


def nodes() -> list[dict[str, float | str]]:
    """Return what each machine of the connected cluster offers: CPUs, GPUs and their kind, and bytes of memory."""
    found = []
    for node in ray.nodes():
        if node["Alive"]:
            offered = node["Resources"]
            kinds = [name.removeprefix("accelerator_type:") for name in offered if name.startswith("accelerator_type:")]
            sizes = {name: offered.get(name, 0.0) for name in ("CPU", "GPU", "memory")}
            found.append(sizes | ({"accelerator": ", ".join(sorted(kinds))} if kinds else {}))
    return found
