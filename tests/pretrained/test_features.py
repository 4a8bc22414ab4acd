"""Features of songs: windows, times, silence and unusable files."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raygenre.audio import AudioError
from raygenre.pretrained.conversion import network_from
from raygenre.pretrained.features import Extractor
from raygenre.pretrained.log_mel import PATCH, PATCH_SECONDS, SAMPLE_RATE, patches
from raygenre.spectrogram import write_png
from tests.helpers.musicnn import random_variables
from tests.helpers.sounds import encode, noise, tone

SHORTEST = PATCH - 256  # number of samples in the shortest song with one patch


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return Extractor(network_from(random_variables()))


def song(patches: int) -> NDArray[np.float32]:
    """Return noise that lasts slightly longer than this many patches, and gets louder."""
    samples = noise(seconds=(SHORTEST + (patches - 1) * PATCH + 1_000) / SAMPLE_RATE, seed=0, rate=SAMPLE_RATE)
    return samples * np.linspace(0.1, 1, len(samples), dtype=np.float32)


@pytest.mark.parametrize(
    ("count", "windows"),
    [(1, [(0, 1)]), (9, [(0, 9)]), (10, [(0, 10)]), (11, [(0, 10), (1, 11)]), (20, [(0, 10), (10, 20)])],
)
def test_a_window_is_the_mean_of_ten_patches(extractor: Extractor, count: int, windows: list[tuple[int, int]]) -> None:
    samples = song(count)
    output = extractor.network(torch.stack(list(patches([samples]))))
    assert len(output.features) == count
    features = extractor.from_blocks([samples])
    assert features.times == tuple((first * PATCH_SECONDS, last * PATCH_SECONDS) for first, last in windows)
    assert features.numbers == tuple(range(len(windows)))
    for row, tags, (first, last) in zip(features.features, features.tags, windows, strict=True):
        np.testing.assert_allclose(row, output.features[first:last].mean(dim=0), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(tags, output.logits[first:last].sigmoid().mean(dim=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features.song_tags, output.logits.sigmoid().mean(dim=0), rtol=1e-4, atol=1e-5)


def test_silent_patches_and_windows_are_left_out(extractor: Extractor) -> None:
    samples = song(30)
    samples[2 * PATCH - 1_000 : 21 * PATCH + 1_000] = 0  # patches 2 to 20, with a margin at both ends
    features = extractor.from_blocks([samples])
    assert features.numbers == (0, 2)
    assert features.times[1] == (20 * PATCH_SECONDS, 30 * PATCH_SECONDS)
    shares = extractor.network(torch.stack(list(patches([samples])))).logits.sigmoid()
    np.testing.assert_allclose(features.song_tags, shares[[0, 1, *range(21, 30)]].mean(dim=0), rtol=1e-4, atol=1e-5)


def test_a_file_is_decoded_at_16_khz(extractor: Extractor) -> None:
    stages: list[str] = []
    data = encode(tone(440, seconds=7, rate=44_100), "flac", "flac", rate=44_100)
    features = extractor.read(data, progress=stages.append)
    expected = extractor.from_blocks([tone(440, seconds=7, rate=SAMPLE_RATE)])
    assert features.times == expected.times
    np.testing.assert_allclose(features.song_tags, expected.song_tags, rtol=0, atol=0.02)
    assert set(stages) == {"decode", "features"}


def test_unusable_files_are_refused(extractor: Extractor) -> None:
    picture = write_png(np.zeros((128, 335), dtype=np.uint8))
    for data, reason in (
        (picture, "it is an image"),
        (encode(tone(440, seconds=2.9)), "the audio lasts 2.9 s; at least 3 s are needed"),
        (encode(np.zeros(4 * 22_050, dtype=np.float32)), "the song is silent from beginning to end"),
        (b"text", "neither a PNG nor audio"),
    ):
        with pytest.raises(AudioError, match=reason):
            extractor.read(data)
