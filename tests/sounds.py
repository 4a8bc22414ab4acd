"""Test sounds, and audio files of them in every format: numpy makes the samples, PyAV encodes them.

Conventions: samples are float32 (N,) or (N, channels) within [−1, 1].
"""

import io
from typing import Literal, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Channels = Literal["mono", "stereo"]


class Encoding(NamedTuple):
    """A container and a codec by FFmpeg's names, and the suffix of such files."""

    suffix: str
    container: str
    codec: str


WAV_U8 = Encoding(".wav", "wav", "pcm_u8")
WAV_S16 = Encoding(".wav", "wav", "pcm_s16le")
WAV_S24 = Encoding(".wav", "wav", "pcm_s24le")
WAV_S32 = Encoding(".wav", "wav", "pcm_s32le")
WAV_F32 = Encoding(".wav", "wav", "pcm_f32le")
WAV_F64 = Encoding(".wav", "wav", "pcm_f64le")
FLAC = Encoding(".flac", "flac", "flac")
MP3 = Encoding(".mp3", "mp3", "libmp3lame")
VORBIS = Encoding(".ogg", "ogg", "vorbis")
OPUS = Encoding(".opus", "ogg", "libopus")
M4A = Encoding(".m4a", "ipod", "aac")
AAC = Encoding(".aac", "adts", "aac")
WMA = Encoding(".wma", "asf", "wmav2")
WEBM = Encoding(".webm", "webm", "libopus")
AU = Encoding(".au", "au", "pcm_s16be")
AIFF = Encoding(".aiff", "aiff", "pcm_s16be")


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


def encode(samples: Samples, *, rate: int, encoding: Encoding = WAV_S16) -> bytes:
    """The file of mono (N,) or stereo (N, 2) samples at `rate` Hz."""
    planes = samples[None] if samples.ndim == 1 else np.ascontiguousarray(samples.T)
    layout: Channels = "mono" if len(planes) == 1 else "stereo"
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format=encoding.container) as container:
        # FFmpeg calls its own Vorbis encoder experimental.
        stream = container.add_stream(encoding.codec, rate=rate, options={"strict": "experimental"})
        assert isinstance(stream, av.AudioStream)
        stream.layout = layout  # type: ignore[assignment]
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
