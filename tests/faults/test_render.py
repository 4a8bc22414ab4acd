"""If `raygenre render` is interrupted or killed, the same command resumes it."""

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


def files(out: Path) -> list[Path]:
    return [path for path in out.rglob("*") if path.is_file()]


def stop(process: subprocess.Popen[str], how: signal.Signals, out: Path, *, after: int) -> tuple[str, str]:
    """Stop the process as soon as `after` images exist; return its output and errors."""
    deadline = time.monotonic() + 240
    while sum(path.suffix == ".png" for path in files(out)) < after:  # others are unfinished
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, how)
    return process.communicate(timeout=60)


def images(out: Path) -> list[Path]:
    """Check that all images can be read, and return them."""
    images = [path for path in files(out) if path.suffix == ".png"]
    for path in images:
        read_png(path)
    return images


def test_render_resumes_after_ctrl_c_and_after_a_kill(tmp_path: Path) -> None:
    music, out = tmp_path / "music", tmp_path / "out"
    (music / "rock").mkdir(parents=True)
    song = encode(noise(seconds=60, seed=0), "flac", "flac")
    for number in range(SONGS):
        (music / "rock" / f"{number}.flac").write_bytes(song)

    process = start(music, out)
    printed, errors = stop(process, signal.SIGINT, out, after=5)
    first = len(images(out))
    assert 5 <= first < SONGS
    assert process.returncode == 130
    summary = re.match(r"interrupted: (\d+) rendered, (\d+) left; run the same command again to resume", printed)
    assert summary, printed
    assert int(summary[1]) in (first, first - 1)  # the last image may not have been counted yet
    assert int(summary[1]) + int(summary[2]) == SONGS
    assert errors == ""
    assert len(files(out)) == first

    stop(start(music, out), signal.SIGKILL, out, after=first + 5)
    second = len(images(out))
    assert first < second < SONGS

    again = start(music, out)
    printed, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    assert f"{SONGS - second} rendered" in printed
    assert f"{second} already existed" in printed
    assert len(images(out)) == SONGS
