"""Compares the endpoint with other servers that serve the same classifier over HTTP.

Run from the project's folder (25 minutes on 2 cores):
    pip install -e '.[bench]'
    python -m benchmarks.serving                  # synthetic images and songs
    python -m benchmarks.serving --data PATH      # images of a dataset, and its MP3s if it has any

In every round, each server is restarted and warmed up. Then one client sends images for several seconds, after which
sixteen clients do the same. This is repeated with MP3s of 30 s. The clients run on the same machine and cores as the
server. Every response is compared with the classifier's own prediction. CPU time covers all processes that the server
started, including Ray's and HAProxy's. It is compared with the CPU time of a loop that decodes and classifies the same
files in one process without a server. The table shows medians over the rounds, and the ratio of raygenre's requests per
second to those of each server in the same round.
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
from benchmarks.servers import OURS, SERVERS, Probabilities, Server, running
from raygenre.audio.encoding import encode
from raygenre.audio.synthesis import GENRES, synthesise
from raygenre.inputs.levels import LEVELS
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry.mlflow_model import save_pyfunc
from raygenre.spectrogram.image import write_png
from raygenre.spectrogram.levels import levels

IMAGES, SONGS = 50, 10
CLIENTS = (1, 16)
Case = tuple[str, str, int]  # server, kind of file, number of clients


@dataclass(frozen=True)
class Load:
    """Results of a measurement: requests per second, CPU time per request in ms, latencies in ms."""

    rate: float
    cpu: float
    p50: float
    p99: float


def main(
    data: Annotated[
        Path | None, typer.Option(help="Folder of dataset-style PNGs and MP3s (default: synthetic ones).")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Duration of the measurement for each number of clients, in s.")] = 10,
    rounds: Annotated[int, typer.Option(help="Number of rounds; each starts every server.")] = 3,
    only: Annotated[list[str] | None, typer.Option(help="Measure only the server of this name; repeatable.")] = None,
) -> None:
    """Measure all servers in each round."""
    torch.set_num_threads(1)
    console = Console(width=120)
    servers = [server for server in SERVERS if not only or server.name in only]
    if len(servers) < len(only or servers):
        names = ", ".join(server.name for server in SERVERS)
        raise typer.BadParameter(f"unknown server among {', '.join(only or [])}; choose from {names}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        torch.manual_seed(0)
        Classifier(GenreCNN(ModelConfig(genres=10)), tuple(sorted(GENRES))).save(work / "classifier")
        save_pyfunc(work / "classifier", work / "model")
        classifier = Classifier.load(work / "classifier")
        bodies = {"PNG": list(itertools.islice(files(data), IMAGES)), "MP3": songs(data)}
        expected = {
            kind: [dict(classifier.predict(LEVELS.read(each)).probabilities) for each in sent]
            for kind, sent in bodies.items()
        }
        loads: dict[Case, list[Load]] = {}
        loop_ms: dict[str, list[float]] = {kind: [] for kind in bodies}
        for _ in range(rounds):
            for kind, sent in bodies.items():
                loop_ms[kind].append(loop(classifier, sent, seconds))
            for server in servers:
                with running(server, work, bodies["PNG"][0]) as (port, process):
                    for kind, clients in itertools.product(bodies, CLIENTS):
                        send(server, port, bodies[kind], expected[kind], clients=4, seconds=2)
                        before, started = cpu_seconds(process), time.perf_counter()
                        latencies = send(server, port, bodies[kind], expected[kind], clients=clients, seconds=seconds)
                        elapsed = time.perf_counter() - started
                        cpu = cpu_seconds(process) - before
                        p50, p99 = np.percentile(latencies, (50, 99)) * 1000
                        load = Load(len(latencies) / elapsed, 1000 * cpu / len(latencies), float(p50), float(p99))
                        loads.setdefault((server.name, kind, clients), []).append(load)
                        console.print(f"{server.name}, {kind}, {clients}: {load}", style="dim")
    show(console, loads, loop_ms)


def show(console: Console, results: dict[Case, list[Load]], loop_ms: dict[str, list[float]]) -> None:
    for kind, loops in loop_ms.items():
        base = statistics.median(loops)
        table = Table(
            "clients",
            "server",
            "requests/s",
            "raygenre",
            "CPU ms",
            "vs. loop",
            "p50, p99 ms",
            title=f"{kind}; decode and predict in a loop, one thread: {base:.2f} ms of CPU per file",
        )
        for clients in CLIENTS:
            ours = results.get((OURS.name, kind, clients), [])
            for name in dict.fromkeys(name for name, _, _ in results):
                loads = results[name, kind, clients]
                rate, cpu, p50, p99 = (
                    statistics.median(getattr(load, field) for load in loads) for field in ("rate", "cpu", "p50", "p99")
                )
                shown = f"{rate:.1f}", _ratio(ours, loads), f"{cpu:.1f}", f"{cpu / base:.2f}", f"{p50:.0f}, {p99:.0f}"
                table.add_row(str(clients), name, *shown)
        console.print(table)


def _ratio(ours: list[Load], others: list[Load]) -> str:
    """Return the ratio of two servers' requests per second, as the median over the rounds."""
    if not ours or ours is others:
        return ""
    ratios = [load.rate / peer.rate for load, peer in zip(ours, others, strict=True)]
    return f"× {statistics.median(ratios):.2f}"


def songs(data: Path | None) -> list[bytes]:
    """Return MP3 files of the dataset, or of synthetic sounds if the dataset has too few."""
    paths = sorted(data.rglob("*.mp3"))[:SONGS] if data else []
    if len(paths) == SONGS:
        return [path.read_bytes() for path in paths]
    sounds = itertools.islice(enumerate(itertools.cycle(sorted(GENRES))), SONGS)
    return [
        encode(synthesise(genre, seed=number), "mp3", "libmp3lame", rate=22_050, bit_rate=128_000)
        for number, genre in sounds
    ]


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


def loop(classifier: Classifier, bodies: list[bytes], seconds: float) -> float:
    """Decode and classify files in this process; return the CPU time per file in ms."""
    started, number = time.process_time(), 0
    while time.process_time() - started < seconds / 2:
        classifier.predict(LEVELS.read(bodies[number % len(bodies)]))
        number += 1
    return 1000 * (time.process_time() - started) / number


def send(
    server: Server, port: int, files: list[bytes], expected: list[Probabilities], *, clients: int, seconds: float
) -> list[float]:
    """Send files from several clients for some seconds, check all responses, and return the latencies in seconds."""
    bodies = [server.body(file) for file in files]
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
