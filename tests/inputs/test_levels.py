"""The levels of a song are read in parts, which together equal the levels of the whole song."""

from pathlib import Path

import numpy as np
import pytest
import torch

from raygenre import audio
from raygenre.inputs import kind as module
from raygenre.inputs.levels import LEVELS
from raygenre.spectrogram.levels import levels
from tests.helpers.sounds import encode, noise

RATE = 22_050  # Hz


@pytest.fixture(scope="module")
def mix() -> bytes:
    """Return a three-minute song with seven windows, one of them silent."""
    samples = noise(seconds=185, seed=0)
    samples[60 * RATE : 91 * RATE] = 0
    return encode(samples)


@pytest.mark.parametrize("size", [1, 2, 64])
def test_parts_are_the_levels_of_the_whole_song(mix: bytes, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = audio.windows(audio.decode(mix))
    shown = [levels(torch.from_numpy(window.samples)).numpy() for window in windows]
    audible = [number for number in range(len(windows)) if shown[number].any()]
    assert 0 < len(audible) < len(windows) == 7
    monkeypatch.setattr(module, "WINDOWS_PER_PART", size)
    parts = list(LEVELS.read_parts(mix))
    assert [len(part.windows) for part in parts] == [size] * (6 // size) + [6 % size] * (6 % size > 0)
    np.testing.assert_array_equal(
        np.concatenate([part.windows for part in parts]), [shown[number] for number in audible]
    )
    assert [number for part in parts for number in part.numbers] == audible
    assert [times for part in parts for times in part.times] == [
        (windows[number].start, windows[number].end) for number in audible
    ]
    whole = LEVELS.read(mix)
    np.testing.assert_array_equal(whole.windows, np.concatenate([part.windows for part in parts]))
    assert whole.numbers == tuple(audible)


def test_silence_has_no_parts(tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(encode(np.zeros(40 * RATE, dtype=np.float32)))
    with pytest.raises(audio.AudioError, match=audio.SILENT_MESSAGE):
        next(iter(LEVELS.read_parts(tmp_path / "song.wav")))
