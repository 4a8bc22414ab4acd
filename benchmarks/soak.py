"""What the endpoint's processes hold over a long time: requests at a steady rate, and the slope of their memory.

Run, from the project's folder (half an hour):
    python -m benchmarks.soak                     # 50 requests a second for 30 minutes
    python -m benchmarks.soak --minutes 3         # a look
    python -m benchmarks.soak --direct            # on the replica's own port

Nineteen of twenty requests are pictures, the others songs of 30 s as MP3. The slope is a least-squares line through
the resident memory, every 5 s, after the first sixth of the time, in which caches fill. Where all processes together
grow by more than 1 MB a minute, the exit status is 1. Ray Serve runs with its plain proxy unless told otherwise. Where
the cores are too few for the rate, the clients fall behind: latencies count from when a request was to be sent.
"""

import http.client
import itertools
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
from benchmarks.servers import DIRECT, OURS, running
from benchmarks.serving import files
from raygenre.audio.encoding import encode
from raygenre.audio.synthesis import GENRES, synthesise
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig

ONE = {"RAYGENRE_MAX_REPLICAS": "1"}  # another replica would look like a leak
CLIENTS = 32  # connections that are kept open
EVERY = 5  # s
MOST_GROWTH = 1.0  # MB a minute
ROLES = {
    "replica": "ray::ServeReplica",
    "decoders": "serve.inference.decoder_process",
    "proxy": "ray::ProxyActor",
    "controller": "ray::ServeController",
}


def main(
    minutes: Annotated[float, typer.Option(help="Of requests.")] = 30,
    rate: Annotated[float, typer.Option(help="Requests a second.")] = 50,
    direct: Annotated[bool, typer.Option("--direct", help="On the replica's own port, without Ray's proxy.")] = False,
) -> None:
    """Send, watch, and print."""
    console = Console()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        torch.manual_seed(0)
        Classifier(GenreCNN(ModelConfig(genres=10)), tuple(sorted(GENRES))).save(work / "classifier")
        pictures = list(itertools.islice(files(None), 19))
        song = encode(synthesise("bells", seed=0), "mp3", "libmp3lame", rate=22_050, bit_rate=128_000)
        server = DIRECT if direct else OURS
        server = replace(server, environment={**server.environment, **ONE})
        with running(server, work, pictures[0]) as (port, process):
            memory: dict[str, list[float]] = {role: [] for role in ROLES}
            ended = threading.Event()

            def watch() -> None:
                while not ended.wait(EVERY):
                    for role, title in ROLES.items():
                        memory[role].append(sum(resident(pid) for pid in titled(title, process)) * 2**20 / 1e6)

            watching = threading.Thread(target=watch)
            watching.start()
            began = time.perf_counter()
            try:
                statuses, latencies = send(port, [*pictures, song], rate=rate, seconds=60 * minutes)
            finally:
                took = time.perf_counter() - began
                ended.set()
                watching.join()
    p50, p99 = np.percentile(latencies, (50, 99)) * 1000
    told = ", ".join(f"{number} times {status}" for status, number in sorted(statuses.items()))
    console.print(
        f"{sum(statuses.values())} requests in {took / 60:.1f} minutes: {told}; p50 {p50:.0f} ms, p99 {p99:.0f} ms"
    )
    table = Table("process", "MB at a sixth", "MB in the end", "MB a minute")
    for role, values in (memory | {"together": together(memory)}).items():
        table.add_row(role, f"{kept(values)[0]:.0f}", f"{values[-1]:.0f}", f"{growth(values):+.2f}")
    console.print(table)
    if growth(together(memory)) > MOST_GROWTH:
        console.print(f"Memory grows by more than {MOST_GROWTH:g} MB a minute")
        raise typer.Exit(1)


def together(memory: dict[str, list[float]]) -> list[float]:
    """What all roles hold at each time.

    Raises:
        RuntimeError: one of them was not there.
    """
    for role, values in memory.items():
        if not values or not all(values):
            raise RuntimeError(f"there was no {role} for some time")
    return [sum(held) for held in zip(*memory.values(), strict=True)]


def kept(values: list[float]) -> list[float]:
    """The values after the first sixth."""
    return values[len(values) // 6 :]


def growth(values: list[float]) -> float:
    """Slope of what is held every 5 s, in its unit a minute."""
    held = kept(values)
    return float(np.polyfit(np.arange(len(held)) * EVERY / 60, held, 1)[0])


def send(port: int, bodies: list[bytes], *, rate: float, seconds: float) -> tuple[Counter[int], list[float]]:
    """Send at a steady rate; return the statuses (0: no answer) and the latencies in s."""
    kept = threading.local()

    def post(body: bytes, planned: float) -> tuple[int, float]:
        try:
            if not hasattr(kept, "connection"):
                kept.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            kept.connection.request("POST", OURS.path, body)
            response = kept.connection.getresponse()
            response.read()
            status = response.status
        except (OSError, http.client.HTTPException):
            status = 0
            kept.connection.close()
        return status, time.perf_counter() - planned

    with ThreadPoolExecutor(CLIENTS) as pool:
        began, replies = time.perf_counter(), []
        for number in range(int(rate * seconds)):
            planned = began + number / rate
            time.sleep(max(0.0, planned - time.perf_counter()))
            replies.append(pool.submit(post, bodies[number % len(bodies)], planned))
    statuses, latencies = zip(*(reply.result() for reply in replies), strict=True)
    return Counter(statuses), list(latencies)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
