"""Mutated files, read one after the other in a process of their own, so that a crash ends that process alone.

A case is a seed and a number: they choose the format and all that happens to the file. Run some of them again with
    python -m tests.helpers.fuzzing FOLDER read SEED FIRST LAST
where FOLDER is what a failed test names; the file of its last case is kept there, as `case`.
"""

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from raygenre.audio.decoding import AudioError
from raygenre.spectrogram.image import PictureError, write_png
from raygenre.spectrogram.levels import levels
from raygenre.spectrogram.song import Song, read
from tests.helpers.sounds import encode, noise, tone

FORMATS = {  # container and codec by FFmpeg's names
    "WAV": ("wav", "pcm_s16le"),
    "FLAC": ("flac", "flac"),
    "MP3": ("mp3", "libmp3lame"),
    "Vorbis": ("ogg", "libvorbis"),
    "Opus": ("ogg", "libopus"),
    "M4A": ("ipod", "aac"),
    "WMA": ("asf", "wmav2"),
    "WebM": ("webm", "libopus"),
    "AIFF": ("aiff", "pcm_s16be"),
    "AU": ("au", "pcm_s16be"),
}
RATE = 16_000  # Hz
LIMIT = 20  # s a file; the slowest take a fraction of one
HEADER = 256  # bytes that are most worth changing
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF)  # first byte of a field, and the others 0 or all ones
EXPECTED = (AudioError, PictureError, ValueError)  # these, and no other ValueError

_leaked: list[bytes] = []


def make_originals(folder: Path) -> None:
    """Write a good file of each format, just long enough to be drawn."""
    samples = tone(440, seconds=4, rate=RATE, loudness=0.4) + noise(seconds=4, seed=0, rate=RATE, loudness=0.05)
    for name, (container, codec) in FORMATS.items():
        (folder / name).write_bytes(encode(samples, container, codec, rate=RATE))
    (folder / "PNG").write_bytes(write_png(levels(torch.from_numpy(samples), under_frame=True).numpy()))


def mutated(originals: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """Return the format and the bytes of a case: one to four changes to a good file."""
    random = np.random.default_rng([seed, number])
    names = sorted(originals)
    name = names[number % len(names)]
    data = bytearray(originals[name])
    for _ in range(random.integers(1, 5)):
        change = CHANGES[random.integers(len(CHANGES))]
        data = change(data, originals[names[random.integers(len(names))]], random)
    return name, bytes(data)


def flip(data: bytearray, other: bytes, random: np.random.Generator) -> bytearray:
    """Up to 64 bits anywhere, or in the header."""
    reach = len(data) if random.random() < 0.5 else min(len(data), HEADER)
    for _ in range(random.integers(1, 65) if reach else 0):
        data[random.integers(reach)] ^= 1 << random.integers(8)
    return data


def truncate(data: bytearray, other: bytes, random: np.random.Generator) -> bytearray:
    return data[: random.integers(len(data) + 1)]


def splice(data: bytearray, other: bytes, random: np.random.Generator) -> bytearray:
    """The beginning of one file, then the end of another, cut at places of their own."""
    return data[: random.integers(len(data) + 1)] + other[random.integers(len(other)) :]


def repeat(data: bytearray, other: bytes, random: np.random.Generator) -> bytearray:
    start, length, times = random.integers(len(data) + 1), random.integers(1, 4096), random.integers(1, 16)
    return data[: start + length] + data[start : start + length] * int(times) + data[start + length :]


def set_field(data: bytearray, other: bytes, random: np.random.Generator) -> bytearray:
    """A field of 1, 2, 4 or 8 bytes, mostly in the header, set to one of the numbers at which programs go wrong."""
    reach = len(data) if random.random() < 0.2 else min(len(data), HEADER)
    size = int(random.choice([1, 2, 4, 8]))
    if reach >= size:
        field = [int(random.choice(EXTREMES)), *[int(random.choice([0, 0xFF]))] * (size - 1)]
        start = random.integers(reach - size + 1)
        data[start : start + size] = bytes(field if random.random() < 0.5 else reversed(field))
    return data


def blank(data: bytearray, other: bytes, random: np.random.Generator) -> bytearray:
    start, length = int(random.integers(len(data) + 1)), int(random.integers(1, 2048))
    end = min(len(data), start + length)
    data[start:end] = bytes(end - start)
    return data


CHANGES = (flip, truncate, splice, repeat, set_field, set_field, blank)


def leaking(data: bytes) -> Song:
    _leaked.append(bytes(range(256)) * 16_000)  # 4 MB
    return read(data)


def swelling(data: bytes) -> Song:
    np.ones(1 << 29, dtype=np.uint8)
    return read(data)


def hanging(data: bytes) -> Song:
    time.sleep(2 * LIMIT)
    return read(data)


def crashing(data: bytes) -> Song:
    os.abort()


def overflowing(data: bytes) -> Song:
    raise OverflowError("planted")


def mute(data: bytes) -> Song:
    raise AudioError


READERS: dict[str, Callable[[bytes], Song]] = {
    function.__name__: function for function in (read, leaking, swelling, hanging, crashing)
}


def outcome(reader: Callable[[bytes], Song], data: bytes) -> str:
    """Read the file and say how it ended: `answer`, `refusal`, or what must not happen."""
    try:
        song = reader(data)
    except Exception as error:  # noqa: BLE001, for it is what is looked for
        if type(error) in EXPECTED and str(error):
            return "refusal"
        return f"{type(error).__name__}: {error}"
    if song.levels.dtype != np.uint8 or song.levels.shape[1:] != (128, 333):
        return f"levels {song.levels.dtype} {song.levels.shape}"
    return "answer"


def resident() -> float:
    """MiB of memory that this process holds now."""
    return in_status("VmRSS")


def in_status(name: str) -> float:
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) / 1024


def main(folder: Path, reader: str, seed: int, first: int, last: int) -> None:
    """Read the cases from first to before last, and print as JSON how they ended and what memory they took."""
    torch.set_num_threads(1)
    limit = 1 if reader == "hanging" else LIMIT
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a hung library would never let a handler run
    originals = {name: (folder / name).read_bytes() for name in (*FORMATS, "PNG")}
    for data in originals.values():
        read(data)  # what is made once, and kept
    ends: Counter[str] = Counter()
    memory = []
    for number in range(first, last):
        name, data = mutated(originals, seed, number)
        (folder / "case").write_bytes(data)
        (folder / "case.txt").write_text(f"{name}, seed {seed}, number {number}")
        signal.alarm(limit)
        end = outcome(READERS[reader], data)
        signal.alarm(0)
        ends[end if end in ("answer", "refusal") else f"{name}, seed {seed}, number {number}: {end}"] += 1
        memory.append(resident())
    # Not getrusage's, which begins with what the process that started this one held.
    peak = in_status("VmHWM")
    print(json.dumps({"ends": ends, "memory": memory, "peak": peak}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6]))
