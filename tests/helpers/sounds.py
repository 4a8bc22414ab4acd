"""Creates test sounds and encodes them as audio files with PyAV or libsndfile.

Conventions: samples are float32 (N,) or (N, 2) within [−1, 1], at 22 050 Hz unless `rate` is given.
"""

import io
import struct

import numpy as np
import soundfile  # type: ignore[import-untyped]
from numpy.typing import NDArray

from raygenre.audio import encoding

Samples = NDArray[np.float32]

BIT_RATE = 128_000  # bit/s, for lossy codecs


def tone(frequency: float, *, seconds: float, rate: int = 22_050, loudness: float = 0.5) -> Samples:
    """Return a sine tone at `frequency` Hz."""
    time = np.arange(round(seconds * rate)) / rate
    return (loudness * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def noise(*, seconds: float, seed: int, rate: int = 22_050, loudness: float = 0.1) -> Samples:
    """Return white noise with standard deviation `loudness`, clipped to [−1, 1]."""
    values = loudness * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return values.clip(-1, 1).astype(np.float32)


def stereo(left: Samples, right: Samples) -> Samples:
    return np.stack([left, right], axis=1)


def encode(samples: Samples, container: str = "wav", codec: str = "pcm_s16le", *, rate: int = 22_050) -> bytes:
    """Return the bytes of an audio file; `container` and `codec` are FFmpeg's names."""
    if codec == "libvorbis":  # PyAV does not support this format, but libsndfile does
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, rate, format=container.upper(), subtype="VORBIS")
        return buffer.getvalue()
    return encoding.encode(samples, container, codec, rate=rate, bit_rate=BIT_RATE)


def wav_header(
    size: int, *, rate: int = 22_050, channels: int = 1, bits: int = 16, code: int = 1, claimed: int | None = None
) -> bytes:
    """Return the 44-byte header of a WAV file with `size` bytes of samples.

    Args:
        code: format code of the samples, 1 for integers and 3 for floats.
        claimed: size in bytes to state in the header instead of `size`.
    """
    stated = size if claimed is None else claimed
    block = channels * bits // 8
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", min(36 + stated, 2**32 - 1), b"WAVE", b"fmt ", 16, code, channels,
                       rate, rate * block, block, bits, b"data", stated)  # fmt: skip
