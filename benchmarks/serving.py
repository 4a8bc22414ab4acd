"""Benchmark of predictions over HTTP, compared with other servers of the same classifier.

Run from the project's folder (12 minutes on 2 cores):
    pip install -e '.[bench]'
    python -m benchmarks.serving                  # synthetic images
    python -m benchmarks.serving --data PATH      # images of a dataset

In every round, each server is restarted and warmed up. Then one client, and afterwards sixteen clients, send images for
several seconds from the same machine and cores. Every response is compared with the classifier's own prediction. CPU
time covers all processes that the server started, including Ray's. It is compared with a loop that decodes and
classifies the same images in one process without a server. The table shows medians over the rounds. Requests go through
Ray's plain proxy, except in the rows for HAProxy, which listens on all interfaces during the measurement, and for the
direct port of the replicas.
"""

import http.client
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.processes import cpu_seconds
from benchmarks.servers import DIRECT, OURS, SERVERS, Probabilities, Server, running
from raygenre.audio.synthesis import GENRES, synthesise
from raygenre.inputs.levels import LEVELS
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry.mlflow_model import save_pyfunc
from raygenre.spectrogram.image import write_png
from raygenre.spectrogram.levels import levels

IMAGES = 50
CLIENTS = (1, 16)


@dataclass(frozen=True)
class Load:
    """Results of a measurement: requests per second, CPU time per request in ms, latencies in ms."""

    rate: float
    cpu: float
    p50: float
    p99: float


def main(
    data: Annotated[Path | None, typer.Option(help="Folder of dataset-style PNGs (default: synthetic images).")] = None,
    seconds: Annotated[float, typer.Option(help="Duration of the measurement for each number of clients, in s.")] = 10,
    rounds: Annotated[int, typer.Option(help="Number of rounds; each starts every server.")] = 3,
    only: Annotated[str, typer.Option(help="Measure only the server of this name.")] = "",
) -> None:
    """Measure all servers in each round."""
    torch.set_num_threads(1)
    console = Console(width=120)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        torch.manual_seed(0)
        Classifier(GenreCNN(ModelConfig(genres=10)), tuple(sorted(GENRES))).save(work / "classifier")
        save_pyfunc(work / "classifier", work / "model")
        classifier = Classifier.load(work / "classifier")
        images = list(itertools.islice(files(data), IMAGES))
        expected = [dict(classifier.predict(LEVELS.read(image)).probabilities) for image in images]
        servers = [server for server in SERVERS if only in ("", server.name)]
        if not servers:
            names = ", ".join(server.name for server in SERVERS)
            raise typer.BadParameter(f"unknown server {only}; choose one of {names}")
        loads: dict[tuple[str, int], list[Load]] = {}
        loop_ms: list[float] = []
        for _ in range(rounds):
            loop_ms.append(loop(classifier, images, seconds))
            for server in servers:
                with running(server, work, images[0]) as (port, process):
                    send(server, port, images, expected, clients=4, seconds=3)
                    for clients in CLIENTS:
                        before, started = cpu_seconds(process), time.perf_counter()
                        latencies = send(server, port, images, expected, clients=clients, seconds=seconds)
                        elapsed = time.perf_counter() - started
                        cpu = cpu_seconds(process) - before
                        p50, p99 = np.percentile(latencies, (50, 99)) * 1000
                        load = Load(len(latencies) / elapsed, 1000 * cpu / len(latencies), float(p50), float(p99))
                        loads.setdefault((server.name, clients), []).append(load)
                        console.print(f"{server.name}, {clients}: {load}", style="dim")
    show(console, loads, loop_ms)


def show(console: Console, results: dict[tuple[str, int], list[Load]], loop_ms: list[float]) -> None:
    base = statistics.median(loop_ms)
    console.print(f"Decode and predict in a loop, one thread: {base:.2f} ms of CPU per image")
    table = Table("clients", "server", "requests/s", "raygenre", "direct port", "CPU ms", "vs. loop", "p50, p99 ms")
    for clients in CLIENTS:
        for (name, number), loads in results.items():
            if number != clients:
                continue
            rate, cpu, p50, p99 = (
                statistics.median(getattr(load, field) for load in loads) for field in ("rate", "cpu", "p50", "p99")
            )
            ratios = [_ratio(results.get((ours.name, clients), []), loads) for ours in (OURS, DIRECT)]
            table.add_row(
                str(clients),
                name,
                f"{rate:.1f}",
                *ratios,
                f"{cpu:.1f}",
                f"{cpu / base:.2f}",
                f"{p50:.0f}, {p99:.0f}",
            )
    console.print(table)


def _ratio(ours: list[Load], others: list[Load]) -> str:
    """Return the ratio of requests per second, as the median over rounds."""
    if not ours or ours is others:
        return ""
    ratios = [load.rate / peer.rate for load, peer in zip(ours, others, strict=True)]
    return f"× {statistics.median(ratios):.2f}"


def files(data: Path | None) -> Iterator[bytes]:
    """Yield dataset-style PNG files."""
    if data is None:
        for number, genre in enumerate(itertools.cycle(sorted(GENRES))):
            yield write_png(levels(torch.from_numpy(synthesise(genre, seed=number)), under_frame=True).numpy())
    else:
        paths = sorted(data.rglob("*.png"))
        if len(paths) < IMAGES:
            raise typer.BadParameter(f"{data} contains fewer than {IMAGES} PNG files")
        yield from (path.read_bytes() for path in paths[:: len(paths) // IMAGES])


def loop(classifier: Classifier, images: list[bytes], seconds: float) -> float:
    """Decode and classify images in this process; return the CPU time per image in ms."""
    started, number = time.process_time(), 0
    while time.process_time() - started < seconds / 2:
        classifier.predict(LEVELS.read(images[number % len(images)]))
        number += 1
    return 1000 * (time.process_time() - started) / number


def send(
    server: Server, port: int, images: list[bytes], expected: list[Probabilities], *, clients: int, seconds: float
) -> list[float]:
    """Send images from several clients for a number of seconds, check all responses, and return the latencies in s."""
    bodies = [server.body(image) for image in images]
    deadline = time.perf_counter() + seconds

    def client(first: int) -> list[tuple[float, int, int, bytes]]:
        replies = []
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for number in itertools.count(first):
            index = number % len(bodies)
            started = time.perf_counter()
            if started > deadline:
                break
            connection.request("POST", server.path, bodies[index], {"Content-Type": server.content_type})
            response = connection.getresponse()
            content = response.read()
            replies.append((time.perf_counter() - started, index, response.status, content))
        connection.close()
        return replies

    with ThreadPoolExecutor(clients) as pool:
        replies = [reply for part in pool.map(client, range(0, 7 * clients, 7)) for reply in part]
    for _, index, status, content in replies:
        if status != 200:
            raise RuntimeError(f"{server.name} responded with {status}: {content.decode()}")
        actual = server.probabilities(json.loads(content))
        if max(abs(actual[name] - value) for name, value in expected[index].items()) > 1e-3:
            raise RuntimeError(f"{server.name} and the classifier differ: {actual}, {expected[index]}")
    return [latency for latency, _, _, _ in replies]


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
