"""Kill parts of an endpoint that runs on three nodes under load.

test_serving.py runs this module in a network namespace. In that namespace, every address is 127.0.0.1, so the nodes can
find each other. Their proxies share a port.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import ray
import torch
from ray import serve
from ray._private.node import Node
from ray.cluster_utils import Cluster
from ray.serve._private.common import ReplicaState

from raygenre.audio.synthesis import synthesise
from raygenre.spectrogram.image import write_png
from raygenre.spectrogram.levels import levels
from serve.app import app
from serve.network import proxy_environment
from serve.settings import Settings
from tests.helpers.load import Request, statuses, steady
from tests.helpers.processes import children, titled
from tests.helpers.project import ROOT
from tests.helpers.serving import new_storage

PORT = 8000
RATE, NUMBER, MOST_FAILED = 50, 2000, 3
ATTEMPTS = 2  # requests in progress are lost; more are lost if the machine is busy with other work
REPLICAS = 3


def main(work: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    storage = new_storage(work)
    settings = {"STORAGE": storage.root, "MIN_REPLICAS": REPLICAS, "MAX_REPLICAS": REPLICAS}
    os.environ |= {f"RAYGENRE_{name}": str(value) for name, value in settings.items()} | {"PYTHONPATH": str(ROOT)}
    os.environ["SERVE_SOCKET_REUSE_PORT_ENABLED"] = "1"  # one HAProxy per node, all on the same port
    proxy_environment.set_defaults()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
    cluster.connect()
    serve.start(proxy_location="EveryNode", http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(app(Settings()))
    picture = write_png(levels(torch.from_numpy(synthesise("bells", seed=0))).numpy())
    # Three nodes, the clients and a starting replica share two cores, so only one request in ten is a prediction.
    requests: list[Request] = [("/v1/predict", picture), *[("/v1/model", None)] * 9]
    deaths: dict[str, Callable[[], object]] = {
        "replica": lambda: kill("ray::ServeReplica"),
        "controller": lambda: kill("ray::ServeController"),
        "worker node": lambda: power_off(nodes.pop()),
    }
    for name, death in deaths.items():
        for attempt in range(1, ATTEMPTS + 1):
            wait_until_whole()
            replies = steady(PORT, requests, rate=RATE, number=NUMBER, meanwhile=death)
            found = statuses(replies)
            sys.stdout.write(f"{name}: {dict(found)}, slowest {max(reply.took for reply in replies):.2f} s\n")
            if NUMBER - found[200] <= MOST_FAILED:
                break
            assert attempt < ATTEMPTS, [reply for reply in replies if reply.status != 200][:20]
            cluster.add_node(num_cpus=2)
    wait_until_whole()  # the lost node's replica has been restarted on a different node
    ray.shutdown()
    cluster.shutdown()


def kill(title: str) -> None:
    """Kill this cluster's first process with the given title."""
    here = Path("/proc/self/ns/net").readlink()
    for pid in titled(title):
        with suppress(OSError):  # the process has just ended
            if Path(f"/proc/{pid}/ns/net").readlink() == here:
                os.kill(pid, signal.SIGKILL)
                return
    raise AssertionError(f"no process {title} is running")


def power_off(node: Node) -> None:
    """Kill all processes of a node at once. Ray's own function for removing a node leaves its proxy running."""
    raylet = node.all_processes["raylet"][0].process.pid
    for pid in [*children(raylet), raylet]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_until_whole() -> None:
    deadline = time.monotonic() + 120
    while True:
        replicas = serve.status().applications["default"].deployments["endpoint"].replica_states
        if replicas.get(ReplicaState.RUNNING) == REPLICAS and sum(replicas.values()) == REPLICAS:
            return
        assert time.monotonic() < deadline, replicas
        time.sleep(0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
