"""Barely audible changes to a song hardly affect its levels, unlike stronger changes."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from raygenre.audio.encoding import encode
from raygenre.audio.synthesis import synthesise
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.workflows.robustness import CHANGES, Reading, measure, summaries
from tests.helpers.project import ROOT
from tests.helpers.sounds import tone

RATE = 22_050  # Hz


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4), dense=4)), ("bells", "drone", "storm"))


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("songs") / "jazz" / "bells.flac"
    path.parent.mkdir()
    path.write_bytes(encode(synthesise("bells", seed=0), "flac", "flac", rate=RATE))
    return path


def test_stronger_changes_of_a_song_change_more_levels(classifier: Classifier, song: Path) -> None:
    readings = measure(classifier, song)
    assert [reading.change for reading in readings] == list(CHANGES)
    assert {(reading.path, reading.counts.sum()) for reading in readings} == {(song, 128 * 333)}
    assert len({reading.before for reading in readings}) == 1
    mean = {summary.change: summary.mean for summary in summaries(readings)}
    assert mean["MP3, 320 kbit/s"] < mean["MP3, 128 kbit/s"] < mean["MP3, 64 kbit/s"] < mean["1 s later"]
    assert mean["MP3, 128 kbit/s"] < 1
    assert max(mean[change] for change in ("44.1 kHz stereo", "48 kHz stereo", "12 dB quieter")) < 0.1


def reading(path: str, change: str, differences: list[int], after: str) -> Reading:
    return Reading(Path(path), change, np.bincount(differences, minlength=256), "bells", after)


def test_summary_of_known_differences() -> None:
    readings = [
        reading("a", "1 s later", [0] * 50, "bells"),
        reading("b", "1 s later", [0] * 40 + [7] * 5 + [255] * 5, "storm"),
        reading("a", "12 dB quieter", [1, 3], "bells"),
    ]
    quieter, later = summaries(readings)
    assert (quieter.change, quieter.mean, quieter.most, quieter.same, quieter.clips) == ("12 dB quieter", 2, 3, 1, 1)
    assert later.mean == pytest.approx((5 * 7 + 5 * 255) / 100)
    assert (later.most, later.same, later.clips) == (7, 1, 2)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the script in this process and return its exit code."""
    script = ROOT / "experiments" / "robustness.py"
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_path(str(script), run_name="__main__")
    return int(exit_info.value.code or 0)


def test_the_script_prints_a_table_and_skipped_files(
    classifier: Classifier,
    song: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    classifier.save(tmp_path / "model")
    (song.parent / "broken.mp3").write_text("no music")
    monkeypatch.setenv("COLUMNS", "200")
    assert run(monkeypatch, "--data", song.parent.parent, "--model", tmp_path / "model") == 0
    printed = capsys.readouterr()
    assert "1 clips, model" in printed.out
    assert all(change in printed.out for change in CHANGES)
    assert "broken.mp3: the file is neither" in printed.err


def test_the_script_requires_audio_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--data", tmp_path) == 2
    assert f"{tmp_path} contains no audio file; pass a folder of songs with --data" in capsys.readouterr().err


@pytest.mark.parametrize(("container", "codec", "rate"), [("mp3", "no-codec", RATE), ("mp3", "libmp3lame", 7)])
def test_unknown_codecs_and_rates_are_errors(container: str, codec: str, rate: int) -> None:
    with pytest.raises(ValueError, match=codec):
        encode(tone(440, seconds=1), container, codec, rate=rate)
