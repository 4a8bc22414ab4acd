"""A tree of songs whose drawing is interrupted from the terminal is finished by the same command."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raygenre.spectrogram.image import read_png
from tests.helpers.project import ROOT
from tests.helpers.sounds import encode, noise

pytestmark = pytest.mark.slow

SONGS = 60


def start(music: Path, out: Path) -> subprocess.Popen[str]:
    command = "from raygenre.cli import app; app()"
    return subprocess.Popen(
        [sys.executable, "-c", command, "render", str(music), "-o", str(out), "--jobs", "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def pictures(out: Path) -> list[Path]:
    return [path for path in out.rglob("*") if path.is_file()]


def stop(process: subprocess.Popen[str], how: signal.Signals, out: Path, *, after: int) -> tuple[str, str]:
    """Stop it when there are so many pictures, and return what it printed."""
    deadline = time.monotonic() + 240
    while len(pictures(out)) < after:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, how)
    return process.communicate(timeout=60)


def whole(out: Path) -> list[Path]:
    """The pictures under their own names, every one of which can be read."""
    there = [path for path in pictures(out) if path.suffix == ".png"]
    for path in there:
        read_png(path)
    return there


def test_interrupted_and_killed_and_said_again(tmp_path: Path) -> None:
    music, out = tmp_path / "music", tmp_path / "out"
    (music / "rock").mkdir(parents=True)
    song = encode(noise(seconds=60, seed=0), "flac", "flac")
    for number in range(SONGS):
        (music / "rock" / f"{number}.flac").write_bytes(song)

    process = start(music, out)
    printed, errors = stop(process, signal.SIGINT, out, after=5)
    first = len(whole(out))
    assert 5 <= first < SONGS
    assert process.returncode == 130
    told = re.match(r"(\d+) drawn, (\d+) left; say the same again to go on", printed)
    assert told, printed
    assert int(told[1]) in (first, first - 1)  # one may be there and not counted yet
    assert int(told[1]) + int(told[2]) == SONGS
    assert errors == ""
    assert len(pictures(out)) == first

    stop(start(music, out), signal.SIGKILL, out, after=first + 5)
    second = len(whole(out))
    assert first < second < SONGS

    again = start(music, out)
    printed, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    assert f"{SONGS - second} drawn" in printed
    assert f"{second} were there already" in printed
    assert len(whole(out)) == SONGS
