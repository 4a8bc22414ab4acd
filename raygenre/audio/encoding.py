"""Encode samples as audio files, to measure how a format changes them.

Conventions: samples are float32 (N,) or (N, 2) within [−1, 1]. FFmpeg encodes them through PyAV.
"""

import io
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

from raygenre.errors import RaygenreError


class EncodingError(RaygenreError, ValueError):
    """FFmpeg cannot encode audio in the requested way."""


def encode(
    samples: NDArray[np.float32], container: str, codec: str, *, rate: int, bit_rate: int | None = None
) -> bytes:
    """Encode samples as an audio file and return its bytes.

    Args:
        samples: float32 (N,) for mono or (N, 2) for stereo.
        container: FFmpeg's name for the format, such as `mp3`, `wav` or `ipod` (M4A).
        codec: FFmpeg's name for the encoder, such as `libmp3lame` or `pcm_s16le`.
        rate: sample rate of the samples and the file, in Hz.
        bit_rate: bit rate in bit/s, for lossy codecs.

    Raises:
        EncodingError: FFmpeg has no such format or encoder, or the encoder does not support that sample rate.
    """
    buffer = io.BytesIO()
    planes = np.ascontiguousarray(np.atleast_2d(samples.T))  # (channels, N)
    layout: Literal["mono", "stereo"] = "mono" if len(planes) == 1 else "stereo"
    try:
        with av.open(buffer, mode="w", format=container) as file:
            stream = file.add_stream(codec, rate=rate)
            if not isinstance(stream, av.AudioStream):
                raise EncodingError(f"{codec} is not an audio encoder; run `ffmpeg -encoders` for a list")
            stream.layout = layout
            if bit_rate:
                stream.bit_rate = bit_rate
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate = rate
            frame.pts = 0  # otherwise the file does not record how much silence the encoder inserts at the start
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        raise EncodingError(
            f"FFmpeg cannot encode {codec} in {container} at {rate} Hz ({error.strerror}); "
            "choose a different format or rate, or install an FFmpeg build with this encoder"
        ) from error
    return buffer.getvalue()
