"""Mix decoded audio frames down to mono samples."""

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from raygenre.audio.errors import AudioError

CONVERT = "convert it to FLAC or MP3, or copy it again from its source"
"""Advice about a file that cannot be decoded, for error messages."""

# Full-scale and zero values of FFmpeg's integer samples; its float samples are already within [−1, 1].
_SCALES = {"uint8": (128.0, 128.0), "int16": (32_768.0, 0.0), "int32": (2_147_483_648.0, 0.0)}
_TOGETHER = 1 << 14  # samples mixed at a time; few enough to stay in the CPU's cache


def mono(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Return one frame mixed down to mono, float32 (N,). Raises: as for `Mixer.add`."""
    mixer = Mixer()
    mixer.add(frame)
    return mixer.take()


class Mixer:
    """Mixes decoded frames down to mono, many at a time, because numpy's overhead would dominate for single frames.

    Attributes:
        samples: number of samples that have been added since the last `take`.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._mixed: list[NDArray[np.float32]] = []
        self._values: list[NDArray[Any]] = []  # frames that have not been mixed yet, all with the same layout and type
        self._unmixed = 0  # samples in these frames
        self._form: tuple[bool, int, np.dtype[Any]] | None = None

    def add(self, frame: av.AudioFrame) -> None:
        """Add a frame.

        Raises:
            AudioError: the frame has no channels.
        """
        values = frame.to_ndarray()  # planar: (channels, N); packed: (1, N · channels)
        channels = frame.layout.nb_channels
        if channels == 0 or values.size == 0:
            raise AudioError(f"the audio has 0 channels; {CONVERT}")
        form = frame.format.is_planar, channels, values.dtype
        if form != self._form or self._unmixed >= _TOGETHER:
            self._mix()
            self._form = form
        self._values.append(values)
        self._unmixed += values.size // channels
        self.samples += values.size // channels

    def take(self) -> NDArray[np.float32]:
        """Return the samples added since the last call, float32 (N,)."""
        self._mix()
        mixed, self._mixed, self.samples = self._mixed, [], 0
        return np.concatenate(mixed) if mixed else np.empty(0, dtype=np.float32)

    def _mix(self) -> None:
        if self._values and self._form:
            is_planar, channels, _ = self._form
            self._mixed.append(_mix_down(np.concatenate(self._values, axis=1), channels, is_planar=is_planar))
            self._values, self._unmixed = [], 0


def _mix_down(values: NDArray[Any], channels: int, *, is_planar: bool) -> NDArray[np.float32]:
    """Return decoded values as float32 (N,), with integers scaled to [−1, 1] and channels averaged."""
    if not is_planar:
        values = values.reshape(-1, channels).T
    with np.errstate(over="ignore", invalid="ignore"):  # `blocks` rejects non-finite samples
        scaled: NDArray[np.float32] = values.astype(np.float32, copy=False)
        if values.dtype.name in _SCALES:  # powers of two, so scaling loses no precision
            scale, zero = _SCALES[values.dtype.name]
            scaled = (scaled - np.float32(zero)) / np.float32(scale)
        return scaled[0] if channels == 1 else np.asarray(scaled.mean(axis=0, dtype=np.float32))
