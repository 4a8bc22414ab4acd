"""Make an audio file of samples, to hear and measure what a format does to them.

Conventions: samples are float32 (N,) or (N, 2) within [−1, 1]. Encoding is FFmpeg's (PyAV).
"""

import io
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray


def encode(
    samples: NDArray[np.float32], container: str, codec: str, *, rate: int, bit_rate: int | None = None
) -> bytes:
    """Return the audio file of samples.

    Args:
        container: FFmpeg's name of the format, such as `mp3`, `wav` or `ipod` (M4A).
        codec: FFmpeg's name of the encoder, such as `libmp3lame` or `pcm_s16le`.
        rate: Hz, of the samples and of the file.
        bit_rate: bit/s, of lossy codecs.

    Raises:
        ValueError: FFmpeg has no such format or encoder, or it does not take that rate.
    """
    buffer = io.BytesIO()
    planes = np.ascontiguousarray(np.atleast_2d(samples.T))  # (channels, N)
    layout: Literal["mono", "stereo"] = "mono" if len(planes) == 1 else "stereo"
    try:
        with av.open(buffer, mode="w", format=container) as file:
            stream = file.add_stream(codec, rate=rate)
            if not isinstance(stream, av.AudioStream):
                raise ValueError(f"{codec} is not an encoder of audio")
            stream.layout = layout
            if bit_rate:
                stream.bit_rate = bit_rate
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate = rate
            frame.pts = 0  # or the file would not tell how much silence the encoder puts first
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        raise ValueError(f"{codec} in {container} cannot be made at {rate} Hz: {error.strerror}") from error
    return buffer.getvalue()
