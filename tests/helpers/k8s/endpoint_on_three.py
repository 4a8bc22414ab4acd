"""Runs the endpoint of `prod` on three nodes, and kills its head under load.

test_commands.py runs it. This module acts as the operator: it starts the pods, sends serveConfigV2, and starts a new
head at a different address. The champion comes from a registry in a folder.
"""

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
import torch
import yaml

from k8s.check import outside, rendering
from raygenre.audio.synthesis import synthesise
from raygenre.spectrogram.image import write_png
from raygenre.spectrogram.levels import levels
from tests.helpers.k8s.running import Running, Site
from tests.helpers.load import Reply, Request, statuses, steady
from tests.helpers.processes import titled, until
from tests.helpers.serving import new_storage

SERVICE = "RayService endpoint"
PORT, DASHBOARD = 8000, 8265
KEY, TOKEN = "a-key-of-some-user", "a-token-that-the-operator-knows"
RATE, NUMBER = 5, 300  # for each worker: requests per second, and number of requests
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def main(work: Path) -> None:
    storage = new_storage(work / "storage")
    secrets = {name: dict.fromkeys(keys, "unused-unused-unused") for name, keys in outside.SECRETS.items()}
    secrets |= {"ray-token": {"auth_token": TOKEN}, "api-keys": {"keys": f"{KEY}\n"}, "mlflow-serving": {}}
    resources = rendering.render("prod")
    places = {"http://mlflow:5000": storage.tracking_uri, "/home/raygenre/results": str(storage.root)}
    site = Site(work, resources, secrets, places=places, shared=[storage.root])
    redis = site.run("StatefulSet redis", "redis", service="redis")
    redis.wait()
    head = site.run(f"{SERVICE}, head", "head")
    head.wait()
    workers = []
    for number in (1, 2):
        workers.append(site.run(f"{SERVICE}, workers replicas", f"worker-{number}"))
        workers[-1].wait(lambda: alive(workers[-1]))
    [service] = [one for one in resources if one["kind"] == "RayService"]
    deploy(head, yaml.safe_load(service["spec"]["serveConfigV2"]))
    for worker in workers:
        worker.wait()
        ask(worker)
    # A pod is ready as soon as its proxy reaches a replica with a champion, possibly on the other pod.
    until(lambda: running(head) == {worker.address for worker in workers}, 120)
    assert reaches(workers[0], head, 6379)
    assert not reaches(workers[0], head, DASHBOARD), "the policies have no effect"
    for node in (head, *workers):
        assert "object store is using" not in node.said(), "Ray's object store does not fit into /dev/shm"

    heads: list[Running] = []

    def death() -> None:
        head.kill()
        heads.append(site.run(f"{SERVICE}, head", "second-head"))
        heads[-1].wait(lambda: alive(heads[-1]) and running(heads[-1]) == {worker.address for worker in workers})

    replies = under_load(workers, death)
    found = statuses(replies)
    slowest = max(reply.took for reply in replies)
    sys.stdout.write(f"head killed: {dict(found)}, slowest {slowest:.2f} s\n")
    # In one of three measurements, a proxy lost the request that it was assigning to a replica at that moment.
    assert found[200] >= len(replies) - 3, [reply for reply in replies if reply.status != 200][:20]
    assert found[200] + found[503] == len(replies)
    [second] = heads

    before = replicas(second)
    kill_replica(workers[0])
    until(lambda: len(replicas(second) - before) == 1 and len(replicas(second)) == len(before), 120)
    for worker in workers:
        worker.wait()
        ask(worker)

    second.kill()
    forgetful = site.run(f"{SERVICE}, head", "third-head", settings={"RAY_REDIS_ADDRESS": ""})
    forgetful.wait()
    until(lambda: applications(forgetful) == {}, 60)
    sys.stdout.write("a head without Redis knows no application\n")


def alive(pod: Running) -> bool:
    """Return whether the liveness probe succeeds."""
    return pod.answers(52365, pod.container.spec["livenessProbe"]["httpGet"]["path"])


def reaches(pod: Running, other: Running, port: int) -> bool:
    return pod.call("bash", "-c", f"exec 3<> /dev/tcp/{other.address}/{port}").returncode == 0


def deploy(head: Running, config: dict[str, Any]) -> None:
    place = f"http://{head.address}:{DASHBOARD}/api/serve/applications/"
    assert requests.put(place, json=config, timeout=30).status_code == 401, "the dashboard does not require a token"
    sent = requests.put(place, json=config, headers=BEARER, timeout=60)
    assert sent.ok, sent.text


def applications(head: Running) -> dict[str, Any]:
    """Return the applications as the operator sees them; raise an error if the head is not responding yet."""
    answer = requests.get(f"http://{head.address}:{DASHBOARD}/api/serve/applications/", headers=BEARER, timeout=30)
    found: dict[str, Any] = answer.json()["applications"]
    return found


def listed(head: Running) -> list[dict[str, Any]]:
    """Return the running replicas as the operator sees them."""
    with suppress(requests.RequestException, KeyError, ValueError):
        found = applications(head)["raygenre"]["deployments"]["endpoint"]["replicas"]
        return [one for one in found if one["state"] == "RUNNING"]
    return []


def running(head: Running) -> set[str]:
    """Return the addresses of the nodes with running replicas."""
    return {one["node_ip"] for one in listed(head)}


def replicas(head: Running) -> set[str]:
    return {one["replica_id"] for one in listed(head)}


def ask(worker: Running) -> None:
    picture = write_png(levels(torch.from_numpy(synthesise("bells", seed=0))).numpy())
    predict = f"http://{worker.address}:{PORT}/v1/predict"
    assert requests.post(predict, data=picture, timeout=30).status_code == 401
    answer = requests.post(predict, data=picture, headers={"X-API-Key": KEY}, timeout=30)
    assert answer.json()["genre"] == "bells", answer.text


def under_load(workers: list[Running], death: Callable[[], object]) -> list[Reply]:
    """Send requests to all workers at a constant rate, call `death` meanwhile, and return the replies."""
    picture = write_png(levels(torch.from_numpy(synthesise("bells", seed=0))).numpy())
    asked: list[Request] = [("/v1/predict", picture), *[("/v1/model", None)] * 4]

    def load(worker: Running, meanwhile: Callable[[], object]) -> list[Reply]:
        return steady(
            PORT,
            asked,
            rate=RATE,
            number=NUMBER,
            meanwhile=meanwhile,
            host=worker.address,
            headers={"X-API-Key": KEY},
        )

    with ThreadPoolExecutor(len(workers)) as pool:
        sent = [pool.submit(load, workers[0], death), *[pool.submit(load, one, int) for one in workers[1:]]]
        return [reply for one in sent for reply in one.result()]


def kill_replica(worker: Running) -> None:
    """Kill one of a worker's replica processes, as the OOM killer would."""
    namespace = worker.namespace
    for pid in titled("ray::ServeReplica"):
        with suppress(OSError):  # the process has just exited
            if Path(f"/proc/{pid}/ns/pid").readlink() == namespace:
                os.kill(pid, signal.SIGKILL)
                return
    raise AssertionError(f"{worker.name} has no replica")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
