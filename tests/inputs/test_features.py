"""Features as model input: windows, the middle of a song, summaries, and rejected images."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raygenre.audio import AudioError
from raygenre.inputs.features import Features
from raygenre.inputs.kind import RANGES
from raygenre.inputs.levels import LEVELS
from raygenre.pretrained.log_mel import PATCH, SAMPLE_RATE
from raygenre.spectrogram import write_png
from tests.helpers.sounds import encode, noise


def louder(seconds: float) -> NDArray[np.float32]:
    """Return 16 kHz noise that gets louder, so that every window has different features."""
    samples = noise(seconds=seconds, seed=0, rate=SAMPLE_RATE)
    return samples * np.linspace(0.1, 1, len(samples), dtype=np.float32)


@pytest.mark.parametrize("seconds", [3.0, 29.9, 30.0, 32.9, 59.8, 61.0])
def test_spans_are_the_times_of_all_windows(features: Features, seconds: float) -> None:
    song = features.from_blocks([louder(seconds)])
    assert features.spans(seconds) == pytest.approx(list(song.times))
    assert song.windows.shape == (len(song.times), *features.shape)
    assert song.windows.dtype == features.dtype
    for kind in (features, LEVELS):
        silent = np.zeros(round(90 * kind.sample_rate), dtype=np.float32)
        silent[-kind.sample_rate :] = 0.5
        heard = kind.from_blocks([silent])
        assert [kind.spans(90)[number] for number in heard.numbers] == pytest.approx(list(heard.times))


def test_the_middle_represents_a_long_song(features: Features, tmp_path: Path) -> None:
    samples = louder(50)
    path = tmp_path / "song.wav"
    path.write_bytes(encode(samples, codec="pcm_f32le", rate=SAMPLE_RATE))
    middle = features.from_blocks([samples[10 * SAMPLE_RATE : 40 * SAMPLE_RATE]])
    assert features.middle(path) == pytest.approx(middle.windows[0], abs=1e-5)
    path.write_bytes(encode(samples[: 30 * SAMPLE_RATE + PATCH // 4], codec="pcm_f32le", rate=SAMPLE_RATE))
    assert features.middle(path) == pytest.approx(features.read(path).windows[0], abs=1e-5)


def test_summaries_are_means_of_standardised_features(features: Features) -> None:
    windows = features.from_blocks([louder(61)]).windows
    windows.flags.writeable = False  # read-only, like arrays in shared memory
    summaries = features.summaries(windows)
    assert summaries.shape == (len(windows), RANGES)
    normalised = features.pretrained.network.pooled(torch.tensor(windows)).detach().numpy()
    size = -(-windows.shape[1] // RANGES)  # the first ranges contain one more feature than the rest
    assert summaries[:, 0] == pytest.approx(normalised[:, :size].mean(axis=1), rel=1e-5)
    # The summaries are standardised with the pretrained network's own statistics, so they differ from plain means.
    assert not np.allclose(summaries, np.stack([part.mean(axis=1) for part in np.array_split(windows, RANGES, 1)], 1))


@pytest.mark.parametrize("level", [0, 7])
def test_pictures_are_refused_whatever_they_show(features: Features, level: int, tmp_path: Path) -> None:
    picture = write_png(np.full((128, 333), level, dtype=np.uint8))
    (tmp_path / "song.mp3").write_bytes(picture)
    for source in (picture, tmp_path / "song.mp3"):
        with pytest.raises(AudioError, match="it is an image, which the pretrained network cannot process"):
            features.read(source)
    with pytest.raises(AudioError, match="it is an image"):
        features.from_levels(np.full((128, 333), level, dtype=np.uint8))


def test_kinds_survive_the_way_to_another_process(features: Features) -> None:
    assert pickle.loads(pickle.dumps(LEVELS)) is LEVELS  # noqa: S301 (written here)
    copy = pickle.loads(pickle.dumps(features))  # noqa: S301 (written here)
    samples = louder(4)
    assert (copy.recipe, copy.weights_sha256, copy.shape) == (
        features.recipe,
        features.weights_sha256,
        features.shape,
    )
    assert np.array_equal(copy.from_blocks([samples]).windows, features.from_blocks([samples]).windows)
