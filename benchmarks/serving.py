"""Compares the endpoint with other servers that serve the same classifier over HTTP.

Run from the project's folder (40 minutes on 2 cores):
    pip install -e '.[bench]'
    python -m benchmarks.serving                  # synthetic images and songs
    python -m benchmarks.serving --data PATH      # images of a dataset, and its MP3s if it has any

raygenre is compared with one server at a time. In every round, both are started and warmed up, and then take turns of
two seconds, during which the processes of the other one are stopped. One client sends images, then sixteen clients do,
and the same is repeated with MP3s of 30 s. Because the speed of a machine may change from minute to minute, the ratio
of the two request rates is calculated for each pair of turns, and the table shows the median of these ratios. The
clients run on the same machine and cores as the servers. Every response is compared with the classifier's own
prediction. CPU time covers all processes that the server started, including Ray's and HAProxy's. It is compared with
the CPU time of a loop that decodes and classifies the same files in one process without a server.
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

from benchmarks.processes import cpu_seconds, stopped
from benchmarks.servers import OURS, PEERS, Probabilities, Server, running
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
TURN = 2.0  # s
_RESUMPTION = 0.7  # s until the processes of a resumed server have caught up on their timers
Case = tuple[str, int]  # kind of file, number of clients
Exchange = tuple[list[bytes], list[Probabilities]]  # files, and the classifier's own prediction for each


@dataclass(frozen=True)
class Turn:
    """Results of one server's turn: its duration and CPU time, and the latency of each request, all in seconds."""

    seconds: float
    cpu: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.latencies) / self.seconds


def main(
    data: Annotated[
        Path | None, typer.Option(help="Folder of dataset-style PNGs and MP3s (default: synthetic ones).")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Duration of all turns with one number of clients, in s.")] = 6,
    rounds: Annotated[int, typer.Option(help="Number of rounds; each starts every server.")] = 3,
    only: Annotated[
        list[str] | None, typer.Option(help="Compare only with the server of this name; repeatable.")
    ] = None,
) -> None:
    """Compare raygenre with each of the other servers in each round."""
    torch.set_num_threads(1)
    console = Console(width=120)
    names = [server.name for server in PEERS]
    if unknown := set(only or ()).difference(names):
        raise typer.BadParameter(f"unknown server {min(unknown)}; choose from {', '.join(names)}")
    peers = [server for server in PEERS if not only or server.name in only]
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
        exchanges = {kind: (sent, expected[kind]) for kind, sent in bodies.items()}
        results: dict[str, dict[Case, list[tuple[Turn, Turn]]]] = {peer.name: {} for peer in peers}
        loop_ms: dict[str, list[float]] = {kind: [] for kind in bodies}
        for _ in range(rounds):
            for kind, sent in bodies.items():
                loop_ms[kind].append(loop(classifier, sent, seconds))
            for peer in peers:
                for case, own, other in turns(peer, work, exchanges, seconds):
                    results[peer.name].setdefault(case, []).append((own, other))
                    console.print(f"{case}: {own.rate:.1f}/s, {peer.name} {other.rate:.1f}/s", style="dim")
    show(console, results, loop_ms)


def turns(
    peer: Server, work: Path, exchanges: dict[str, Exchange], seconds: float
) -> Iterator[tuple[Case, Turn, Turn]]:
    """Start raygenre and another server, and yield pairs of their turns.

    Args:
        seconds: total duration of each server's turns for each case.
    """
    [image, *_] = exchanges["PNG"][0]
    with running(OURS, work, image) as (port, process), running(peer, work, image) as (peer_port, peer_process):
        for kind, clients in itertools.product(exchanges, CLIENTS):
            send(OURS, port, exchanges[kind], clients=max(4, clients), seconds=1)
            send(peer, peer_port, exchanges[kind], clients=max(4, clients), seconds=1)
            for _ in range(max(1, round(seconds / TURN))):
                with stopped(peer_process):
                    own = turn(OURS, port, process, exchanges[kind], clients=clients)
                with stopped(process):
                    other = turn(peer, peer_port, peer_process, exchanges[kind], clients=clients)
                yield (kind, clients), own, other


def turn(server: Server, port: int, process: int, exchange: Exchange, *, clients: int) -> Turn:
    """Send files to a server for the duration of a turn."""
    time.sleep(_RESUMPTION)
    before, started = cpu_seconds(process), time.perf_counter()
    latencies = send(server, port, exchange, clients=clients, seconds=TURN)
    return Turn(time.perf_counter() - started, cpu_seconds(process) - before, latencies)


def show(
    console: Console, results: dict[str, dict[Case, list[tuple[Turn, Turn]]]], loop_ms: dict[str, list[float]]
) -> None:
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
            pairs = {name: by_case[kind, clients] for name, by_case in results.items()}
            ours = [own for each in pairs.values() for own, _ in each]
            table.add_row(str(clients), OURS.name, *_row(ours, base))
            for name, each in pairs.items():
                ratio = statistics.median(own.rate / other.rate for own, other in each)
                table.add_row(str(clients), name, *_row([other for _, other in each], base, f"× {ratio:.2f}"))
        console.print(table)


def _row(turns: list[Turn], base: float, ratio: str = "") -> tuple[str, ...]:
    """Return a server's row without its name; `base` is the CPU time of the loop in ms."""
    latencies = [1000 * latency for turn in turns for latency in turn.latencies]
    cpu = 1000 * sum(turn.cpu for turn in turns) / len(latencies)
    p50, p99 = np.percentile(latencies, (50, 99))
    rate = statistics.median(turn.rate for turn in turns)
    return f"{rate:.1f}", ratio, f"{cpu:.1f}", f"{cpu / base:.2f}", f"{p50:.0f}, {p99:.0f}"


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


def send(server: Server, port: int, exchange: Exchange, *, clients: int, seconds: float) -> list[float]:
    """Send files from several clients for some seconds, check all responses, and return the latencies in seconds."""
    files, expected = exchange
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
