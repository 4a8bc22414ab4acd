"""If Ctrl-C ends `raygenre predict`, its results are kept, and the same command resumes it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from tests.helpers.processes import until
from tests.helpers.project import ROOT
from tests.helpers.sounds import encode, noise

SONGS = 24


@pytest.mark.slow
def test_predict_continues_after_ctrl_c(tmp_path: Path) -> None:
    music, table, storage = tmp_path / "music", tmp_path / "songs.csv", tmp_path / "storage"
    music.mkdir()
    song = encode(noise(seconds=60, seed=0))
    for number in range(SONGS):
        (music / f"{number:02d}.wav").write_bytes(song[:-1] + bytes([number]))  # unique, so never cached
    torch.manual_seed(0)
    Classifier(GenreCNN(ModelConfig(genres=2)), ("bells", "storm")).save(tmp_path / "model")
    table.write_text("of last week\n")
    command = [
        sys.executable, "-c", "from raygenre.cli import app; app()", "predict", str(music), "--json",
        "-o", str(table), "--jobs", "2", "--model", str(tmp_path / "model"), "--storage", str(storage),
    ]  # fmt: skip
    output, errors = tmp_path / "out.txt", tmp_path / "err.txt"
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err, start_new_session=True)
    try:
        until(lambda: len(output.read_bytes().splitlines()) >= 3)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130, errors.read_text()
    finally:
        process.kill()
    printed = len(output.read_text().splitlines())
    summary = re.search(rf"^interrupted after (\d+) of {SONGS} songs; run the same", errors.read_text(), re.MULTILINE)
    assert summary, errors.read_text()
    results = int(summary[1])
    assert printed - 1 <= results <= printed + 1  # Ctrl-C may arrive between counting a result and printing it
    assert "Traceback" not in errors.read_text()
    assert table.read_text() == "of last week\n"
    partial = pd.read_csv(tmp_path / "songs.partial.csv")
    assert len(partial) == results
    assert partial["path"].tolist() == sorted(partial["path"])
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert len(again.stdout.splitlines()) == SONGS
    assert not (tmp_path / "songs.partial.csv").exists()
    cached = re.search(r"^(\d+) predictions were read from the cache", again.stderr, re.MULTILINE)
    assert cached
    assert results <= int(cached[1]) < SONGS
