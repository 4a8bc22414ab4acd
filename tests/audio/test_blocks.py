"""Decoding in blocks yields all samples of a file without holding all of them in memory."""

import errno
import io
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from raygenre.audio.blocks import blocks
from raygenre.audio.decoding import decode
from raygenre.audio.errors import AudioError
from tests.helpers.sounds import Samples, encode, noise, tone, wav_header

RATE = 22_050  # Hz
BLOCK = 1 << 18  # samples at the file's sample rate


def wav(samples: Samples, *, rate: int) -> bytes:
    return wav_header(samples.nbytes, rate=rate, bits=32, code=3) + samples.tobytes()


def resampled(data: bytes, *, rate_in: int, rate: int) -> Samples:
    """Return the samples of a mono float WAV file, resampled in blocks of at least 2¹⁸ samples, as for the dataset."""
    with av.open(io.BytesIO(data), mode="r") as file:
        frames = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
    if rate_in == rate:
        return np.concatenate(frames)
    stream, pending, parts = soxr.ResampleStream(rate_in, rate, 1, dtype="float32", quality="HQ"), [], []
    for frame in frames:
        pending.append(frame)
        if sum(map(len, pending)) >= BLOCK:
            parts.append(stream.resample_chunk(np.concatenate(pending)))
            pending = []
    rest = np.concatenate([np.empty(0, np.float32), *pending])
    return np.concatenate([*parts, stream.resample_chunk(rest, last=True)])


@settings(max_examples=12, deadline=None)
@given(
    st.one_of(st.integers(100, 3 * BLOCK), st.integers(1, 3).map(lambda n: n * BLOCK)),
    st.sampled_from([8_000, 16_000, RATE, 44_100, 96_000]),
    st.sampled_from([RATE, 16_000]),
)
def test_blocks_are_the_resampled_file_bit_for_bit(length: int, rate_in: int, rate: int) -> None:
    data = wav(noise(seconds=length / rate_in, seed=length, rate=rate_in), rate=rate_in)
    parts = list(blocks(data, rate=rate))
    assert all(0 < len(part) <= 1.1 * BLOCK * max(1, rate / rate_in) for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts), resampled(data, rate_in=rate_in, rate=rate))
    if rate == RATE:
        np.testing.assert_array_equal(np.concatenate(parts), decode(data))


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_samples_that_are_not_finite_end_the_blocks(rate: int) -> None:
    samples = tone(440, seconds=30, rate=rate)
    samples[-1] = np.nan
    with pytest.raises(AudioError, match="NaN or infinite"):
        list(blocks(wav(samples, rate=rate)))


def test_file_is_closed_when_no_more_blocks_are_read(tmp_path: Path) -> None:
    (tmp_path / "song.flac").write_bytes(encode(noise(seconds=40, seed=0), "flac", "flac"))
    with (tmp_path / "song.flac").open("rb") as stream:
        parts = blocks(stream)
        next(parts)
        position = stream.tell()
        parts.close()
        assert 0 < position < (tmp_path / "song.flac").stat().st_size
        assert not stream.closed


class Unplugged(io.BytesIO):
    """A file on a drive that fails after the first part."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 100_000:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


def test_a_failing_drive_does_not_count_as_a_damaged_file() -> None:
    with pytest.raises(OSError, match="Input/output error"):
        list(blocks(Unplugged(encode(noise(seconds=40, seed=0), "flac", "flac"))))
