"""Log-mel patches equal librosa's for any block size."""

from collections.abc import Iterator

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raygenre.pretrained.log_mel import BANDS, FRAMES, HOP_LENGTH, N_FFT, PATCH, SAMPLE_RATE, patches
from tests.helpers.sounds import noise, tone


@pytest.fixture(scope="module")
def samples() -> NDArray[np.float32]:
    """Return 7 s of a tone in noise, so that the bands differ."""
    return tone(440, seconds=7, rate=SAMPLE_RATE) + noise(seconds=7, seed=0, rate=SAMPLE_RATE)


def test_patches_equal_librosas_spectrogram(samples: NDArray[np.float32]) -> None:
    power = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, n_mels=BANDS)
    rounded = power.T.astype(np.float16).astype(np.float32)
    ours = torch.stack(list(patches([samples])))
    assert ours.shape == (2, FRAMES, BANDS)
    # Where librosa's values and ours are rounded to different float16 neighbours, their logarithms differ by up to
    # 2^-10 / ln 10.
    np.testing.assert_allclose(ours.flatten(0, 1), np.log10(1 + 10_000 * rounded)[: 2 * FRAMES], rtol=0, atol=5e-4)


@pytest.mark.parametrize("size", [1_000, 48_128, 100_000])
def test_patches_do_not_depend_on_the_blocks(samples: NDArray[np.float32], size: int) -> None:
    blocks = [samples[start : start + size] for start in range(0, len(samples), size)]
    assert torch.equal(torch.stack(list(patches(blocks))), torch.stack(list(patches([samples]))))


def test_only_whole_patches_are_used() -> None:
    shortest = (FRAMES - 1) * HOP_LENGTH  # the last frame is centred on the first sample after the song
    for length, expected in ((shortest - 1, 0), (shortest, 1), (shortest + PATCH - 1, 1), (shortest + PATCH, 2)):
        assert len(list(patches([np.zeros(length, dtype=np.float32)]))) == expected
    assert shortest <= 3 * SAMPLE_RATE  # the minimum length of a song


def test_a_patch_is_computed_as_soon_as_its_samples_are_there() -> None:
    """If patches were computed later, memory use would grow with the length of the recording."""
    taken = 0

    def blocks() -> Iterator[NDArray[np.float32]]:
        nonlocal taken
        for _ in range(1_000):
            taken += 1
            yield np.zeros(PATCH, dtype=np.float32)

    following = patches(blocks())
    for number in range(1, 6):
        next(following)
        assert taken == number


def test_samples_beyond_full_scale_stay_finite() -> None:
    loud = 1e4 * tone(440, seconds=3, rate=SAMPLE_RATE)
    assert torch.stack(list(patches([loud]))).isfinite().all()
