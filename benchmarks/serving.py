"""What a prediction costs over HTTP: raygenre's endpoint beside other servers of the same classifier.

Run, from the project's folder (12 minutes on 2 cores):
    pip install -e '.[bench]'
    python -m benchmarks.serving                  # synthetic pictures
    python -m benchmarks.serving --data PATH      # a dataset's own

Each server starts anew in every round, answers some requests before the clock, then one client and sixteen send
pictures for some seconds, from the same machine and cores. Every answer is compared with the classifier's own. CPU time
is that of all processes that the server started, Ray's included, and stands beside a loop that decodes and predicts the
same pictures in one process without any server. The table has medians over the rounds. Requests go through Ray's plain
proxy, unless HAProxy is named, which listens on all interfaces while it is measured, or the port on which the replicas
answer by themselves.
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
from benchmarks.servers import DIRECT, OURS, SERVERS, Server, Shares, running
from raygenre.audio.synthesis import GENRES, synthesise
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry.mlflow_model import save_pyfunc
from raygenre.spectrogram.image import write_png
from raygenre.spectrogram.levels import levels
from raygenre.spectrogram.song import read

PICTURES = 50
CLIENTS = (1, 16)


@dataclass(frozen=True)
class Load:
    """What some seconds of requests came to: requests a second, CPU ms a request, latencies in ms."""

    rate: float
    cpu: float
    p50: float
    p99: float


def main(
    data: Annotated[Path | None, typer.Option(help="Folder of dataset-style PNGs; synthetic ones without it.")] = None,
    seconds: Annotated[float, typer.Option(help="Of requests, for each number of clients.")] = 10,
    rounds: Annotated[int, typer.Option(help="Times that each server is started.")] = 3,
    only: Annotated[str, typer.Option(help="The one server to measure.")] = "",
) -> None:
    """Measure all of them in turns."""
    torch.set_num_threads(1)
    console = Console(width=120)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        torch.manual_seed(0)
        Classifier(GenreCNN(ModelConfig(genres=10)), tuple(sorted(GENRES))).save(work / "classifier")
        save_pyfunc(work / "classifier", work / "model")
        classifier = Classifier.load(work / "classifier")
        pictures = list(itertools.islice(files(data), PICTURES))
        wanted = [dict(classifier.predict(read(picture)).probabilities) for picture in pictures]
        servers = [server for server in SERVERS if only in ("", server.name)]
        if not servers:
            names = ", ".join(server.name for server in SERVERS)
            raise typer.BadParameter(f"there is no server {only}; there are {names}")
        found: dict[tuple[str, int], list[Load]] = {}
        bare: list[float] = []
        for _ in range(rounds):
            bare.append(loop(classifier, pictures, seconds))
            for server in servers:
                with running(server, work, pictures[0]) as (port, process):
                    ask(server, port, pictures, wanted, clients=4, seconds=3)
                    for clients in CLIENTS:
                        before, started = cpu_seconds(process), time.perf_counter()
                        latencies = ask(server, port, pictures, wanted, clients=clients, seconds=seconds)
                        took = time.perf_counter() - started
                        spent = cpu_seconds(process) - before
                        p50, p99 = np.percentile(latencies, (50, 99)) * 1000
                        load = Load(len(latencies) / took, 1000 * spent / len(latencies), float(p50), float(p99))
                        found.setdefault((server.name, clients), []).append(load)
                        console.print(f"{server.name}, {clients}: {load}", style="dim")
    show(console, found, bare)


def show(console: Console, found: dict[tuple[str, int], list[Load]], bare: list[float]) -> None:
    loop_ms = statistics.median(bare)
    console.print(f"Decode and predict in a loop, one thread: {loop_ms:.2f} ms of CPU a picture")
    table = Table(
        "clients", "server", "requests/s", "raygenre is", "on its own port", "CPU ms", "of the loop's", "p50, p99 ms"
    )
    for clients in CLIENTS:
        for (name, number), loads in found.items():
            if number != clients:
                continue
            rate, cpu, p50, p99 = (
                statistics.median(getattr(load, field) for load in loads) for field in ("rate", "cpu", "p50", "p99")
            )
            times = [_times(found.get((ours.name, clients), []), loads) for ours in (OURS, DIRECT)]
            table.add_row(
                str(clients), name, f"{rate:.1f}", *times, f"{cpu:.1f}", f"{cpu / loop_ms:.2f}", f"{p50:.0f}, {p99:.0f}"
            )
    console.print(table)


def _times(ours: list[Load], others: list[Load]) -> str:
    """How many times as many requests a second ours answer, by rounds."""
    if not ours or ours is others:
        return ""
    ratios = [mine.rate / other.rate for mine, other in zip(ours, others, strict=True)]
    return f"{statistics.median(ratios):.2f} times"


def files(data: Path | None) -> Iterator[bytes]:
    """Dataset-style PNGs."""
    if data is None:
        for number, genre in enumerate(itertools.cycle(sorted(GENRES))):
            yield write_png(levels(torch.from_numpy(synthesise(genre, seed=number)), under_frame=True).numpy())
    else:
        paths = sorted(data.rglob("*.png"))
        if len(paths) < PICTURES:
            raise typer.BadParameter(f"{data} holds fewer than {PICTURES} PNGs")
        yield from (path.read_bytes() for path in paths[:: len(paths) // PICTURES])


def loop(classifier: Classifier, pictures: list[bytes], seconds: float) -> float:
    """CPU ms a picture in this process."""
    started, number = time.process_time(), 0
    while time.process_time() - started < seconds / 2:
        classifier.predict(read(pictures[number % len(pictures)]))
        number += 1
    return 1000 * (time.process_time() - started) / number


def ask(
    server: Server, port: int, pictures: list[bytes], wanted: list[Shares], *, clients: int, seconds: float
) -> list[float]:
    """Send pictures from some clients for some seconds; return the latencies in s, once all answers were compared."""
    bodies = [server.body(picture) for picture in pictures]
    until = time.perf_counter() + seconds

    def client(first: int) -> list[tuple[float, int, int, bytes]]:
        replies = []
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for number in itertools.count(first):
            place = number % len(bodies)
            started = time.perf_counter()
            if started > until:
                break
            connection.request("POST", server.path, bodies[place], {"Content-Type": server.content_type})
            response = connection.getresponse()
            content = response.read()
            replies.append((time.perf_counter() - started, place, response.status, content))
        connection.close()
        return replies

    with ThreadPoolExecutor(clients) as pool:
        replies = [reply for part in pool.map(client, range(0, 7 * clients, 7)) for reply in part]
    for _, place, status, content in replies:
        if status != 200:
            raise RuntimeError(f"{server.name} answered {status}: {content.decode()}")
        shares = server.shares(json.loads(content))
        if max(abs(shares[name] - share) for name, share in wanted[place].items()) > 1e-3:
            raise RuntimeError(f"{server.name} answered otherwise than the classifier: {shares}, {wanted[place]}")
    return [took for took, _, _, _ in replies]


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
