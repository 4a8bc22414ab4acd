"""A tree of songs whose drawing is interrupted from the terminal is finished by the same command."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raygenre.spectrogram import read_png
from tests.sounds import encode, noise
from tests.test_tune import ROOT

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


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_and_said_again(tmp_path: Path, how: signal.Signals) -> None:
    music, out = tmp_path / "music", tmp_path / "out"
    (music / "rock").mkdir(parents=True)
    for number in range(SONGS):
        data = encode(noise(seconds=60, seed=number), "flac", "flac")
        (music / "rock" / f"{number}.flac").write_bytes(data)
    process = start(music, out)
    deadline = time.monotonic() + 240
    while len(pictures(out)) < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, how)
    printed, errors = process.communicate(timeout=60)
    there = [path for path in pictures(out) if path.suffix == ".png"]
    assert 5 <= len(there) < SONGS
    for path in there:
        read_png(path)
    if how is signal.SIGINT:
        assert process.returncode == 130
        told = re.match(r"(\d+) drawn, (\d+) left; say the same again to go on", printed)
        assert told, printed
        assert int(told[1]) in (len(there), len(there) - 1)  # one may be there and not counted yet
        assert int(told[1]) + int(told[2]) == SONGS
        assert errors == ""
        assert pictures(out) == there
    again = start(music, out)
    printed, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    assert f"{SONGS - len(there)} drawn" in printed
    assert f"{len(there)} were there already" in printed
    assert len([path for path in pictures(out) if path.suffix == ".png"]) == SONGS
