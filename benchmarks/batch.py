"""Compares the speed of Ray Data, a local pool and a plain loop; measures Ray Data's memory.

Run, from the project's folder:
    python -m benchmarks.batch                           # 400 songs of 30 s per method, 10 000 of 3 s with Ray Data
    python -m benchmarks.batch --songs 100 --many 0      # quick, without measuring memory
    python -m benchmarks.batch --model models:/raygenre@champion

All methods use the same cores. The songs are FLAC files of noise: twenty different files under many names. The
prediction cache is not used. The times include starting worker processes or actors, but not starting Ray, because one
Ray cluster serves many batches.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.processes import family, resident
from raygenre.audio.decoding import SAMPLE_RATE
from raygenre.audio.encoding import encode
from raygenre.batch.nodes import connect
from raygenre.batch.output import Output
from raygenre.batch.predict import predict_all
from raygenre.batch.songs import find_songs
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry.versions import fetch
from raygenre.system.location import Location
from raygenre.system.storage import resolve
from raygenre.system.worker_pool import cores
from raygenre.tracking.server import Server
from raygenre.workflows.predict import predict_song, predict_unordered

_DIFFERENT = 20


def main(
    songs: Annotated[int, typer.Option(min=1, help="Number of songs for each way.")] = 400,
    seconds: Annotated[float, typer.Option(min=3, help="Their duration in s.")] = 30.0,
    many: Annotated[int, typer.Option(min=0, help="Number of songs of 3 s for the memory.")] = 10_000,
    jobs: Annotated[int, typer.Option(min=0, help="Worker processes and actors; 0: one per core.")] = 0,
    model: Annotated[str, typer.Option(help="The model (default: an untrained network).")] = "",
) -> None:
    """Print the predictions per second of each method, and Ray Data's memory use while it predicts many songs."""
    torch.set_num_threads(1)  # as in worker processes
    torch.manual_seed(0)
    genres = ("bells", "drone", "storm")
    classifier = (
        fetch(Server(resolve(None)), model).classifier if model else Classifier(GenreCNN(ModelConfig(genres=3)), genres)
    )
    jobs = jobs or cores()
    with tempfile.TemporaryDirectory() as scratch:
        paths = fill_folder(Path(scratch) / "songs", songs, seconds)
        rate("plain loop, 1 core", songs, lambda: [predict_song(classifier, path) for path in paths])
        rate(f"local pool, {jobs} workers", songs, lambda: list(predict_unordered(classifier, paths, jobs=jobs)))
        print(connect("local"))
        found = find_songs([str(Path(scratch) / "songs")])
        output = Output(Location(f"{scratch}/first"))
        for name in ("Ray Data", "Ray Data again"):
            rate(f"{name}, {jobs} actors", songs, lambda: list(predict_all(classifier, found, output, jobs=jobs)))
        if many:
            fill_folder(Path(scratch) / "many", many, 3.2)
            found = find_songs([str(Path(scratch) / "many")])
            output = Output(Location(f"{scratch}/second"))
            with sampled_memory() as memory:
                for number, _ in enumerate(predict_all(classifier, found, output, jobs=jobs), start=1):
                    if number in {round(many * share / 10) for share in (1, 2, 4, 6, 8, 10)}:
                        driver, others = memory[-1]
                        print(f"{number:6d} songs: driver {driver:.0f} MiB, largest other process {others:.0f} MiB")


def fill_folder(root: Path, songs: int, seconds: float) -> list[Path]:
    """Fill a folder with songs, and return their paths."""
    random = np.random.default_rng(0)
    root.mkdir()
    paths: list[Path] = []
    for number in range(songs):
        path = root / f"{number % 100:02d}" / f"{number:06d}.flac"
        path.parent.mkdir(exist_ok=True)
        if number < _DIFFERENT:
            samples = (0.1 * random.standard_normal(round(seconds * SAMPLE_RATE))).clip(-1, 1).astype(np.float32)
            path.write_bytes(encode(samples, "flac", "flac", rate=SAMPLE_RATE, bit_rate=128_000))
        else:
            path.hardlink_to(paths[number % _DIFFERENT])
        paths.append(path)
    return paths


def rate(name: str, songs: int, run: Callable[[], object]) -> None:
    """Print how many songs per second a method classifies."""
    started = time.monotonic()
    run()
    seconds = time.monotonic() - started
    print(f"{name}: {songs / seconds:.1f} songs/s ({seconds:.1f} s)", flush=True)


@contextmanager
def sampled_memory() -> Iterator[list[tuple[float, float]]]:
    """Yield a list to which a sample of the memory use is appended every second.

    Each sample contains the memory, in MiB, of this process and of its largest descendant.
    """
    samples, stopped = [(0.0, 0.0)], threading.Event()

    def sample() -> None:
        while not stopped.wait(1):
            others = [resident(pid) for pid in family(os.getpid()) if pid != os.getpid()]
            samples.append((resident(os.getpid()), max(others, default=0.0)))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stopped.set()
        thread.join()


if __name__ == "__main__":
    typer.run(main)
