"""Read mutated files in a separate process, so that a crash does not end the tests.

A seed and a number determine a case: the format of the file and all changes to it. To rerun a range of cases, use
    python -m tests.helpers.fuzzing FOLDER read SEED FIRST LAST
with the FOLDER from the failed test's message. The last case's file is stored there as `case`.
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

from raygenre.audio import AudioError, FileTypeError
from raygenre.inputs.kind import Song
from raygenre.inputs.levels import LEVELS
from raygenre.spectrogram.image import ImageError, write_png
from raygenre.spectrogram.levels import levels
from tests.helpers.sounds import encode, noise, tone

FORMATS = {  # FFmpeg's names for the container and codec
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
    "AVI": ("avi", "libmp3lame"),
    "CAF": ("caf", "pcm_s16be"),
    "TTA": ("tta", "tta"),
    "WavPack": ("wv", "wavpack"),
}
RATE = 16_000  # Hz
LIMIT = 20  # s per file; even the slowest take less than 1 s
HEADER = 256  # bytes at the start of the file, where changes have the most effect
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF)  # first byte of a field; its other bytes are all 0 or all 0xFF
EXPECTED = (AudioError, FileTypeError, ImageError)  # exactly these classes, not subclasses

_leaked: list[bytes] = []


def make_originals(folder: Path) -> None:
    """Write a valid file in each format, just over the minimum length of 3 s."""
    samples = tone(440, seconds=4, rate=RATE, loudness=0.4) + noise(seconds=4, seed=0, rate=RATE, loudness=0.05)
    for name, (container, codec) in FORMATS.items():
        (folder / name).write_bytes(encode(samples, container, codec, rate=RATE))
    (folder / "PNG").write_bytes(write_png(levels(torch.from_numpy(samples), under_frame=True).numpy()))


def mutated(originals: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """Return a case's format and bytes: a valid file with one to four changes."""
    random = np.random.default_rng([seed, number])
    names = sorted(originals)
    name = names[number % len(names)]
    data = bytearray(originals[name])
    for _ in range(random.integers(1, 5)):
        change = CHANGES[random.integers(len(CHANGES))]
        data = change(data, originals[names[random.integers(len(names))]], random)
    return name, bytes(data)


def flip(data: bytearray, second: bytes, random: np.random.Generator) -> bytearray:
    """Flip up to 64 bits, either anywhere in the file or only in its header."""
    reach = len(data) if random.random() < 0.5 else min(len(data), HEADER)
    for _ in range(random.integers(1, 65) if reach else 0):
        data[random.integers(reach)] ^= 1 << random.integers(8)
    return data


def truncate(data: bytearray, second: bytes, random: np.random.Generator) -> bytearray:
    return data[: random.integers(len(data) + 1)]


def splice(data: bytearray, second: bytes, random: np.random.Generator) -> bytearray:
    """Join the beginning of one file and the end of another, each cut at a random position."""
    return data[: random.integers(len(data) + 1)] + second[random.integers(len(second)) :]


def repeat(data: bytearray, second: bytes, random: np.random.Generator) -> bytearray:
    start, length, times = random.integers(len(data) + 1), random.integers(1, 4096), random.integers(1, 16)
    return data[: start + length] + data[start : start + length] * int(times) + data[start + length :]


def set_field(data: bytearray, second: bytes, random: np.random.Generator) -> bytearray:
    """Set a field of 1, 2, 4 or 8 bytes, usually in the header, to an extreme value."""
    reach = len(data) if random.random() < 0.2 else min(len(data), HEADER)
    size = int(random.choice([1, 2, 4, 8]))
    if reach >= size:
        field = [int(random.choice(EXTREMES)), *[int(random.choice([0, 0xFF]))] * (size - 1)]
        start = random.integers(reach - size + 1)
        data[start : start + size] = bytes(field if random.random() < 0.5 else reversed(field))
    return data


def blank(data: bytearray, second: bytes, random: np.random.Generator) -> bytearray:
    start, length = int(random.integers(len(data) + 1)), int(random.integers(1, 2048))
    end = min(len(data), start + length)
    data[start:end] = bytes(end - start)
    return data


CHANGES = (flip, truncate, splice, repeat, set_field, set_field, blank)


def leaking(data: bytes) -> Song:
    _leaked.append(bytes(range(256)) * 16_000)  # 4 MB
    return LEVELS.read(data)


def swelling(data: bytes) -> Song:
    np.ones(1 << 29, dtype=np.uint8)
    return LEVELS.read(data)


def hanging(data: bytes) -> Song:
    time.sleep(2 * LIMIT)
    return LEVELS.read(data)


def crashing(data: bytes) -> Song:
    os.abort()


def overflowing(data: bytes) -> Song:
    raise OverflowError("planted")


def mute(data: bytes) -> Song:
    raise AudioError


READERS: dict[str, Callable[[bytes], Song]] = {
    function.__name__: function for function in (LEVELS.read, leaking, swelling, hanging, crashing)
}


def outcome(reader: Callable[[bytes], Song], data: bytes) -> str:
    """Read a file and return the outcome: `answer`, `rejection`, or a description of an unexpected result."""
    try:
        song = reader(data)
    except Exception as error:  # noqa: BLE001 (the test looks for unexpected exceptions)
        if type(error) in EXPECTED and str(error):
            return "rejection"
        return f"{type(error).__name__}: {error}"
    if song.windows.dtype != np.uint8 or song.windows.shape[1:] != (128, 333):
        return f"levels {song.windows.dtype} {song.windows.shape}"
    return "answer"


def resident() -> float:
    """Return this process's resident memory in MiB."""
    return in_status("VmRSS")


def in_status(name: str) -> float:
    """Return the value of a memory field in this process's /proc status, in MiB."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) / 1024


def main(folder: Path, reader: str, seed: int, first: int, last: int) -> None:
    """Read the cases from `first` up to, but not including, `last`, and print outcomes and memory use as JSON."""
    torch.set_num_threads(1)
    limit = 1 if reader == "hanging" else LIMIT
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # Python would not run a signal handler while a library hangs
    originals = {name: (folder / name).read_bytes() for name in (*FORMATS, "PNG")}
    for data in originals.values():
        LEVELS.read(data)  # fill caches before measuring memory
    outcomes: Counter[str] = Counter()
    memory = []
    for number in range(first, last):
        name, data = mutated(originals, seed, number)
        (folder / "case").write_bytes(data)
        (folder / "case.txt").write_text(f"{name}, seed {seed}, number {number}")
        signal.alarm(limit)
        result = outcome(READERS[reader], data)
        signal.alarm(0)
        expected = result in ("answer", "rejection")
        outcomes[result if expected else f"{name}, seed {seed}, number {number}: {result}"] += 1
        memory.append(resident())
    # The maximum from getrusage would include the parent process's memory.
    peak = in_status("VmHWM")
    print(json.dumps({"outcomes": outcomes, "memory": memory, "peak": peak}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6]))
