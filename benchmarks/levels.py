"""Compares how fast raygenre and librosa compute spectrograms; measures raygenre's memory.

Run from the project's folder (2 minutes on 2 cores):
    pip install -e '.[bench]'
    python benchmarks/levels.py                  # synthetic clips of 30 s
    python benchmarks/levels.py --clips DIR      # your own audio files

Times are CPU times of this process (user and system) on one thread. The methods are measured alternately, and the table
shows medians. librosa and matplotlib draw the image and write it to a PNG file in memory, as the dataset's author did.
raygenre's levels contain the same image (tests/spectrogram/test_levels.py compares every pixel). The time needed to
write the levels to a PNG file is also measured. Memory use is measured over 1000 songs.
"""

import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # before numpy

import librosa
import numpy as np
import torch
import typer
from librosa.display import specshow
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from raygenre.audio.decoding import SAMPLE_RATE, SUFFIXES, decode, middle_window
from raygenre.audio.encoding import encode
from raygenre.audio.synthesis import GENRES, synthesise
from raygenre.spectrogram.image import write_png
from raygenre.spectrogram.levels import levels
from raygenre.workflows.render import plan_renders, render_all

Samples = NDArray[np.float32]
SYNTHETIC_CLIPS = 20
STREAMED = 1000  # songs


def main(
    clips: Annotated[Path | None, typer.Option(help="Folder of audio files (default: synthetic clips).")] = None,
    repeats: Annotated[int, typer.Option(help="Number of measurements per clip.")] = 3,
    most: Annotated[int, typer.Option(help="Maximum number of clips.")] = SYNTHETIC_CLIPS,
    streamed: Annotated[int, typer.Option(help="Songs to render for the memory measurement.")] = STREAMED,
) -> None:
    """Measure CPU time per clip, and memory over many songs."""
    torch.set_num_threads(1)
    console = Console()
    songs = list(samples_of(clips, most))
    files = {
        "FLAC": [encode(song, "flac", "flac", rate=SAMPLE_RATE) for song in songs],
        "MP3, 128 kbit/s": [encode(song, "mp3", "libmp3lame", rate=SAMPLE_RATE, bit_rate=128_000) for song in songs],
    }
    methods: dict[str, list[Callable[[], object]]] = {
        "samples to PNG, librosa + matplotlib": [partial(png_by_librosa, song) for song in songs],
        "samples to levels, raygenre": [partial(levels_of, song) for song in songs],
        "samples to PNG, raygenre": [partial(png_by_raygenre, song) for song in songs],
    }
    for name, encoded in files.items():
        methods[f"{name} to levels, raygenre"] = [partial(levels_of_file, file) for file in encoded]
    title = f"{len(songs)} clips, medians over {repeats} repetitions, one thread"
    console.print(table_of(measure(methods, repeats), title))
    console.print(streaming(files["MP3, 128 kbit/s"], streamed))


def samples_of(folder: Path | None, most: int) -> Iterator[Samples]:
    """Yield clips of 30 s from a folder, or synthetic clips."""
    if folder is None:
        genres = sorted(GENRES)
        for number in range(most):
            yield synthesise(genres[number % len(genres)], seed=number)
        return
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)[:most]
    if not paths:
        raise typer.BadParameter(f"{folder} contains no audio file")
    for path in paths:
        yield middle_window(decode(path)).samples


def levels_of(samples: Samples) -> NDArray[np.uint8]:
    return levels(torch.from_numpy(samples)).numpy()


def levels_of_file(file: bytes) -> NDArray[np.uint8]:
    return levels_of(middle_window(decode(file)).samples)


def png_by_raygenre(samples: Samples) -> bytes:
    return write_png(levels(torch.from_numpy(samples), under_frame=True).numpy())


def png_by_librosa(samples: Samples) -> bytes:
    """Draw a spectrogram exactly as the dataset's author did, quirks included."""
    decibels = librosa.amplitude_to_db(librosa.feature.melspectrogram(y=samples), ref=np.max)
    figure = Figure(figsize=(6, 4), dpi=72)
    figure.subplots_adjust(bottom=0.125)
    specshow(decibels, ax=figure.add_subplot()).set_snap(False)
    figure.savefig(buffer := io.BytesIO(), format="png")
    return buffer.getvalue()


def measure(methods: dict[str, list[Callable[[], object]]], repeats: int) -> dict[str, list[float]]:
    """Return the CPU time of each call in seconds; the methods take turns on each clip, after a warm-up call."""
    for calls in methods.values():
        calls[0]()
    times: dict[str, list[float]] = {method: [] for method in methods}
    for number in range(len(next(iter(methods.values())))):
        for _ in range(repeats):
            for method, calls in methods.items():
                started = time.process_time()
                calls[number]()
                times[method].append(time.process_time() - started)
    return times


def table_of(times: dict[str, list[float]], title: str) -> Table:
    table = Table("spectrogram", "CPU ms per clip", "speedup", title=title)
    base = statistics.median(next(iter(times.values())))
    for method, seconds in times.items():
        median = statistics.median(seconds)
        table.add_row(method, f"{1000 * median:.1f}", f"{base / median:.1f}")
    return table


def streaming(files: list[bytes], songs: int) -> Table:
    """Render a folder of songs as `raygenre render` does, and return a table of this process's memory use."""
    table = Table("songs rendered from MP3 to PNG", "resident memory, MiB", title="raygenre render, in one process")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "songs" / "class"
        tree.mkdir(parents=True)
        for number in range(songs):
            original = tree / f"{number % len(files):05d}.mp3"
            if number < len(files):
                original.write_bytes(files[number])
            else:
                (tree / f"{number:05d}.mp3").hardlink_to(original)
        targets = plan_renders(tree.parent, Path(folder) / "pictures").targets
        for number, result in enumerate(render_all(targets, jobs=1), start=1):
            if result.error:
                raise RuntimeError(result.error)
            if number in (songs // 10, songs // 2, songs):
                table.add_row(str(number), f"{resident():.0f}")
    return table


def resident() -> float:
    """Return the resident memory of this process in MiB (only on Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
