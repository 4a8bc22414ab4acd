"""Classifies songs among clutter and broken files; measures time, memory and lost songs.

Run, from the project's folder (3000 files take several minutes on two cores):
    python -m benchmarks.mixed_folder                          # 3000 files, and an untrained network
    python -m benchmarks.mixed_folder --files 300 --model models:/raygenre@champion

Songs last 3.2 s and differ in content. A third of the files are covers, playlists, databases, thumbnails, text files
named like songs, truncated and silent songs, broken links, and project files of music software.
"""

import csv
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.processes import cpu_seconds, family
from raygenre.audio import encoding
from raygenre.audio.decoding import SAMPLE_RATE
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig

GENRES = ("bells", "drone", "storm")
ALBUM = 15  # files per album, a third of which are not songs
_FORMATS = (("wav", "wav", "pcm_s16le"), ("flac", "flac", "flac"), ("mp3", "mp3", "libmp3lame"))
_LARGE_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\2\0\0\0\2\0"  # the start of a 512×512 PNG


@dataclass
class MixedFolder:
    """The contents of a generated folder.

    Attributes:
        songs: usable songs.
        broken: files that look like songs but are unusable.
        others: files that are neither songs nor known clutter.
        clutter: number of files of each kind of clutter.
    """

    songs: set[Path] = field(default_factory=set)
    broken: set[Path] = field(default_factory=set)
    others: set[Path] = field(default_factory=set)
    clutter: Counter[str] = field(default_factory=Counter)

    @property
    def files(self) -> int:
        return len(self.songs) + len(self.broken) + len(self.others) + self.clutter.total()


def fill_folder(root: Path, files: int) -> MixedFolder:
    """Fill a folder with albums of 15 files in two class folders; two thirds of the files are usable songs."""
    mixed, random = MixedFolder(), np.random.default_rng(0)
    for number in range(files // ALBUM):
        album = root / GENRES[number % 2] / f"album {number:03d}"
        album.mkdir(parents=True)
        for track in range(ALBUM * 2 // 3):
            suffix, container, codec = _FORMATS[track % len(_FORMATS)]
            path = album / f"{track:02d}.{suffix}"
            path.write_bytes(_song(random, container, codec))
            mixed.songs.add(path)
        for kind in range(ALBUM // 3):
            _add_other(album, (ALBUM // 3 * number + kind) % 10, random, mixed)
    return mixed


def _song(random: np.random.Generator, container: str, codec: str, loudness: float = 0.1) -> bytes:
    samples = loudness * random.standard_normal(round(3.2 * SAMPLE_RATE)).clip(-3, 3).astype(np.float32)
    return encoding.encode(samples.astype(np.float32), container, codec, rate=SAMPLE_RATE, bit_rate=128_000)


def _add_other(album: Path, kind: int, random: np.random.Generator, mixed: MixedFolder) -> None:
    """Add one of ten kinds of files that are not usable songs."""
    clutter = {0: ("folder.jpg", ".jpg"), 1: ("Thumbs.db", "Thumbs.db"), 2: ("list.m3u", ".m3u")}
    clutter |= {3: ("@eaDir/00.mp3", "@eaDir"), 4: ("cover.png", ".png")}
    if kind in clutter:
        name, label = clutter[kind]
        (album / name).parent.mkdir(exist_ok=True)
        (album / name).write_bytes(_LARGE_PNG if label == ".png" else b"clutter")
        mixed.clutter[label] += 1
    elif kind == 5:
        (album / "project.als").write_bytes(b"\x1f\x8b\x08" + random.bytes(100))
        mixed.others.add(album / "project.als")
    else:
        path = album / ("cut.flac", "note.mp3", "silent.wav", "gone.mp3")[kind - 6]
        if kind == 6:
            path.write_bytes(_song(random, "flac", "flac")[:20_000])
        elif kind == 7:
            path.write_text(f"not music, but the notes of {album.name}")
        elif kind == 8:
            path.write_bytes(_song(random, "wav", "pcm_s16le", loudness=0))
        else:
            path.symlink_to("nowhere.mp3")
        mixed.broken.add(path)


def main(
    files: Annotated[int, typer.Option(min=2 * ALBUM, help="Number of files.")] = 3000,
    model: Annotated[str, typer.Option(help="The model (default: an untrained network).")] = "",
    jobs: Annotated[int, typer.Option(min=0, help="Worker processes; 0: as many as `predict` chooses.")] = 0,
) -> None:
    """Predict a mixed folder, and print the time, the memory, and whether anything was lost."""
    with tempfile.TemporaryDirectory() as scratch:
        root, table = Path(scratch) / "Music", Path(scratch) / "table.csv"
        mixed = fill_folder(root, files)
        if not model:
            model = str(Path(scratch) / "untrained")
            torch.manual_seed(0)
            Classifier(GenreCNN(ModelConfig(genres=len(GENRES))), GENRES).save(Path(model))
        command = [
            sys.executable,
            "-c",
            "from raygenre.cli import app; app()",
            "predict",
            str(root),
            "-o",
            str(table),
            "-v",
        ]
        command += ["--model", model, "--jobs", str(jobs), "--storage", f"{scratch}/results"]
        started = time.monotonic()
        with (Path(scratch) / "messages").open("w+") as file:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
            peaks, cpu = _watch(process)
            seconds = time.monotonic() - started
            file.seek(0)
            messages = file.read().splitlines()
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
    lost = {str(path) for path in mixed.songs | mixed.broken} - {row["path"] for row in rows}
    unnamed = [path for path in mixed.others if not any(str(path) in line for line in messages)]
    failed = sum(bool(row["error"]) for row in rows)
    ignored = next((line for line in messages if line.startswith("ignored:")), "")
    print(f"{mixed.files} files, exit code {process.returncode}: {len(rows)} rows, {failed} with an error")
    print(
        f"lost songs: {len(lost)}; broken {len(mixed.broken)}; not named: {len(unnamed)} of {len(mixed.others)} others"
    )
    print(f"{ignored} (of {dict(mixed.clutter)})")
    main_peak, *workers = peaks
    memory = f"{main_peak:.0f} MiB, of workers {', '.join(f'{peak:.0f}' for peak in workers)} MiB"
    print(f"{seconds:.0f} s, {cpu:.0f} s of CPU time; peak memory {memory}")


def _watch(process: "subprocess.Popen[bytes]") -> tuple[list[float], float]:
    """Wait for a process; return its peak memory and that of each descendant in MiB, and their CPU time in seconds."""
    peaks: dict[int, float] = {}
    cpu = 0.0
    while process.poll() is None:
        for pid in family(process.pid):
            with suppress(OSError, IndexError):  # the process has just exited
                text = Path(f"/proc/{pid}/status").read_text()
                peaks[pid] = int(text.split("VmHWM:")[1].split()[0]) / 1024
        cpu = max(cpu, cpu_seconds(process.pid))
        time.sleep(0.2)
    return [peaks.pop(process.pid, 0.0), *sorted(peaks.values(), reverse=True)], cpu


if __name__ == "__main__":
    typer.run(main)
