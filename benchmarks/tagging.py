"""Writes genres to songs in six formats, reads them with FFmpeg, and undoes the changes.

Run from the project's folder (1 minute on 2 quiet cores):
    .venv/bin/python benchmarks/tagging.py

The songs have titles, artists and, in three formats, covers. FFmpeg (PyAV) reads back what mutagen has written. After
the undo, all files are compared with the originals byte by byte. Then the genres are written again by processes, each
of which is killed at a random moment. The exit status is 1 if any file still differs from its original at the end.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import av
import mutagen
import numpy as np
import soundfile  # type: ignore[import-untyped]
import typer
from mutagen.flac import Picture
from mutagen.id3 import APIC, TIT2, TPE1
from mutagen.mp4 import MP4Cover
from rich.console import Console
from rich.table import Table

from raygenre.audio.encoding import encode
from raygenre.tagging.log import TagLog, read_log
from raygenre.tagging.open_tags import present_genre
from raygenre.tagging.replacement import remove_abandoned
from raygenre.tagging.undo import undo
from raygenre.tagging.write import write_genres

FORMATS = {
    # Maps a file suffix to FFmpeg's names for the container and the encoder.
    ".mp3": ("mp3", "libmp3lame"),
    ".flac": ("flac", "flac"),
    ".m4a": ("ipod", "aac"),
    ".ogg": ("ogg", "libvorbis"),
    ".opus": ("ogg", "libopus"),
    ".wma": ("asf", "wmav2"),
}
GENRE = "Hip-Hop"
RATE = 48_000  # Hz
COVER = b"\xff\xd8\xff" + bytes(range(256)) * 300  # the size of a cover; no program here decodes it
TITLES = {".m4a": ("\xa9nam", "\xa9ART"), ".wma": ("Title", "Author")}


def new_songs(folder: Path, number: int, seconds: float) -> None:
    """Fill a folder with tagged songs, the same number of each format."""
    samples = (0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32).clip(-1, 1)
    for suffix, (container, codec) in FORMATS.items():
        model = folder / f"model{suffix}"
        if codec == "libvorbis":  # PyAV does not support this format, but libsndfile does
            with soundfile.SoundFile(model, "w", RATE, 1, "VORBIS", format="OGG") as file:
                for start in range(0, len(samples), RATE):  # libsndfile crashes if all samples are written at once
                    file.write(samples[start : start + RATE])
        else:
            model.write_bytes(encode(samples, container, codec, rate=RATE, bit_rate=128_000))
        data = model.read_bytes()
        model.unlink()
        for song in range(list(FORMATS).index(suffix), number, len(FORMATS)):
            path = folder / f"{song:03d}{suffix}"
            path.write_bytes(data)
            add_tags(path, f"Song {song}")


def add_tags(path: Path, title: str) -> None:
    file = mutagen.File(path)
    if path.suffix == ".mp3":
        file.tags.add(TIT2(encoding=3, text=title))
        file.tags.add(TPE1(encoding=3, text="Artist"))
        file.tags.add(APIC(mime="image/jpeg", type=3, data=COVER))
    else:
        names = TITLES.get(path.suffix, ("title", "artist"))
        for name, text in zip(names, (title, "Artist"), strict=True):
            file[name] = [text]
    if path.suffix == ".flac":
        picture = Picture()
        picture.type, picture.mime, picture.data = 3, "image/jpeg", COVER
        file.add_picture(picture)
    if path.suffix == ".m4a":
        file["covr"] = [MP4Cover(COVER)]
    file.save()


def write_all(folder: Path, log_path: Path) -> None:
    """Write the genre `GENRE` to all songs that have no genre."""
    remove_abandoned(folder)
    with TagLog(log_path) as log:
        for path in sorted(folder.iterdir()):
            if not present_genre(path).genres:
                write_genres(path, [GENRE], log, present=())
                sys.stdout.write(".")
                sys.stdout.flush()


def ffmpeg_genre(path: Path) -> str:
    with av.open(path) as container:
        tags = [container.metadata, *(stream.metadata for stream in container.streams.audio)]
    return next((text for stored in tags for name, text in stored.items() if name.lower() == "genre"), "")


def write_with_kills(folder: Path, log: Path, seed: int) -> int:
    """Write genres in processes, each of which is killed after a few songs; return the number of kills."""
    generator = random.Random(seed)
    kills = 0
    while True:
        command = [sys.executable, __file__, "--only-write", str(folder), "--log", str(log)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.read(generator.randint(5, 40))
            time.sleep(generator.uniform(0, 0.05))
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
        if process.returncode == 0:
            return kills
        kills += 1


def main(
    songs: Annotated[int, typer.Option(help="Number of songs.")] = 200,
    seconds: Annotated[float, typer.Option(help="Length of each song in s.")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the moments of the kills.")] = 0,
    only_write: Annotated[Path | None, typer.Option(hidden=True)] = None,
    log: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    if only_write and log:
        write_all(only_write, log)
        return
    table = Table("step", "result", "seconds")
    with tempfile.TemporaryDirectory() as root:
        folder, log = Path(root) / "music", Path(root) / "log"
        folder.mkdir()
        new_songs(folder, songs, seconds)
        old = {path: path.read_bytes() for path in folder.iterdir()}
        size = sum(map(len, old.values()))
        table.add_row("songs", f"{len(old)}, {size / 1e6:.0f} MB", "")

        start = time.perf_counter()
        genres = [present_genre(path).genres for path in old]
        table.add_row("present genres read", f"{sum(map(bool, genres))} with a genre", seconds_since(start))

        start = time.perf_counter()
        with Path(os.devnull).open("w") as nowhere:
            printed, sys.stdout = sys.stdout, nowhere
            write_all(folder, log)
            sys.stdout = printed
        table.add_row("written", f"log of {log.stat().st_size / len(old):.0f} bytes per song", seconds_since(start))

        start = time.perf_counter()
        same = sum(ffmpeg_genre(path) == GENRE for path in old)
        table.add_row("read back by FFmpeg", f"{same} with the genre", seconds_since(start))

        start = time.perf_counter()
        list(undo(read_log(log)))
        taken = seconds_since(start)
        same = sum(path.read_bytes() == data for path, data in old.items())
        table.add_row("undone", f"{same} files identical", taken)

        log.unlink()
        start = time.perf_counter()
        kills = write_with_kills(folder, log, seed)
        taken = seconds_since(start)
        same = sum(ffmpeg_genre(path) == GENRE for path in old)
        table.add_row(f"written with {kills} kills", f"{same} with the genre", taken)
        list(undo(read_log(log)))
        left = {path: path.read_bytes() for path in folder.iterdir()}
        table.add_row("undone", f"{sum(left[path] == data for path, data in old.items())} files identical", "")
    Console().print(table)
    if left != old:
        raise typer.Exit(1)


def seconds_since(start: float) -> str:
    return f"{time.perf_counter() - start:.1f}"


if __name__ == "__main__":
    typer.run(main)
