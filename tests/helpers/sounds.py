"""Test sounds, and audio files of them: numpy makes the samples, PyAV or libsndfile encodes them.

Conventions: samples are float32 (N,) or (N, 2) within [−1, 1], at 22 050 Hz unless told otherwise.
"""

import io
import struct

import numpy as np
import soundfile  # type: ignore[import-untyped]
from numpy.typing import NDArray

from raygenre.audio import encoding

Samples = NDArray[np.float32]

BIT_RATE = 128_000  # bit/s, of the lossy codecs


def tone(frequency: float, *, seconds: float, rate: int = 22_050, loudness: float = 0.5) -> Samples:
    """A sine of `frequency` Hz."""
    time = np.arange(round(seconds * rate)) / rate
    return (loudness * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def noise(*, seconds: float, seed: int, rate: int = 22_050, loudness: float = 0.1) -> Samples:
    """White noise of standard deviation `loudness`, clipped to [−1, 1]."""
    values = loudness * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return values.clip(-1, 1).astype(np.float32)


def stereo(left: Samples, right: Samples) -> Samples:
    return np.stack([left, right], axis=1)


def encode(samples: Samples, container: str = "wav", codec: str = "pcm_s16le", *, rate: int = 22_050) -> bytes:
    """The audio file of samples, its container and codec by FFmpeg's names."""
    if codec == "libvorbis":  # PyAV comes without it, libsndfile with it
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, rate, format=container.upper(), subtype="VORBIS")
        return buffer.getvalue()
    return encoding.encode(samples, container, codec, rate=rate, bit_rate=BIT_RATE)


def wav_header(
    size: int, *, rate: int = 22_050, channels: int = 1, bits: int = 16, code: int = 1, claimed: int | None = None
) -> bytes:
    """The 44 bytes before `size` bytes of a WAV's samples, true or not.

    Args:
        code: 1 for integers, 3 for floats.
        claimed: bytes of samples that the header speaks of; `size` by default.
    """
    said = size if claimed is None else claimed
    block = channels * bits // 8
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", min(36 + said, 2**32 - 1), b"WAVE", b"fmt ", 16, code, channels,
                       rate, rate * block, block, bits, b"data", said)  # fmt: skip
