"""A kind of input: what a network is given for a song, and how it is computed from a file.

To add a kind, write a module with a subclass of `InputKind` and list it in `raygenre.inputs.kinds`. Everything else
(data sets, training, classifiers, prediction and the endpoint) uses only this interface.

Conventions: a song is cut into windows of about 30 s, and each window becomes one array of the kind's shape. A track of
a data set is represented by one such array, computed from the middle of the song.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre import audio, spectrogram
from raygenre.audio.blocks import blocks
from raygenre.spectrogram.song import is_image

Stage = Literal["decode", "input"]
RANGES = 16
"""Number of values that summarise a window; see `InputKind.summaries`."""
WINDOWS_PER_PART = 64
"""Number of windows in a part of a song. The network processes this many windows at a time, so a song's probabilities
are the same, bit for bit, whether it is read in parts or as a whole."""


@dataclass(frozen=True)
class Song:
    """A network's input for one file.

    Attributes:
        windows: (W, *shape), the input for each window that is not silent.
        times: start and end of each of these windows in s; empty for an image, which has no times.
        numbers: index of each of these windows among all windows of the song, including silent windows; empty for an
            image.
    """

    windows: NDArray[Any]
    times: tuple[tuple[float, float], ...]
    numbers: tuple[int, ...] = ()


class InputKind(ABC):
    """A kind of input.

    Attributes:
        name: the kind's name in JSON and in metrics.
        recipe: the kind's name and version, stored with each classifier. The recipe changes whenever the same samples
            would yield different values.
        sample_rate: sample rate, in Hz, of the samples from which the input is computed.
        shape: the shape of one window's array.
        dtype: the type of the array's values.
        weights_sha256: hexadecimal SHA-256 of the weights that the computation needs; empty if it needs none.
        takes_images: whether the input can be computed from a spectrogram image.
    """

    name: Literal["levels", "features"]
    recipe: str
    sample_rate: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    weights_sha256: str = ""
    takes_images: bool = True

    @abstractmethod
    def cut(self, samples: Iterable[NDArray[np.float32]], progress: Callable[[], object]) -> Iterator[Song]:
        """Compute the windows of a song whose samples arrive in blocks, and yield them as soon as they are complete.

        Args:
            samples: blocks of any length, float32 (N,) at `sample_rate`.
            progress: function to call frequently. Exceptions that the function raises propagate.

        Raises:
            AudioError: the song is shorter than 3 s, or silent.
        """

    @abstractmethod
    def spans(self, seconds: float) -> list[tuple[float, float]]:
        """Return the start and end, in s, of each window of a song of the given length, including silent windows."""

    @abstractmethod
    def from_levels(self, levels: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the input for a spectrogram image, given as levels uint8 (128, 333).

        Raises:
            AudioError: this kind cannot be computed from an image.
        """

    @abstractmethod
    def middle(self, path: Path) -> NDArray[Any]:
        """Return the input that represents an audio file in a data set.

        Raises:
            AudioError: the file is not audio, or is damaged, shorter than 3 s, or silent in the part that is used.
            OSError: the file cannot be opened.
        """

    @abstractmethod
    def summaries(self, windows: NDArray[Any]) -> NDArray[np.float64]:
        """Summarise each window by `RANGES` numbers, from which drift is computed: (W, *shape) → float64 (W, 16)."""

    def on(self, device: torch.device) -> "InputKind":
        """Return this kind with its own network, if it has one, on the given device."""
        return self

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the files that `raygenre.inputs.kinds.load` needs into a classifier's folder.

        Raises:
            OSError: the folder cannot be written.
        """

    def read(
        self,
        source: Path | bytes,
        *,
        longest_seconds: float = math.inf,
        progress: Callable[[Stage], object] = lambda stage: None,
    ) -> Song:
        """Read a spectrogram image (PNG) or an audio file. The type is determined by the file's content, not its name.

        The samples are not kept in memory. The levels of an hour of audio take up 5 MB.

        Args:
            source: path or bytes of the file.
            longest_seconds: maximum duration of audio in s.
            progress: function to call frequently with the stage that is about to run. If the function raises an
                exception, reading stops and the exception propagates, as described in `audio.decode`.

        Raises:
            AudioError: the file is neither audio nor an image that this kind can use, or is damaged, too long, shorter
                than 3 s, or silent; or the path refers to a pipe or a device.
            ImageError: the file is a PNG, but is damaged or not a spectrogram.
            OSError: the file cannot be opened.
        """
        return join(self.read_parts(source, longest_seconds=longest_seconds, progress=progress))

    def read_parts(
        self,
        source: Path | bytes,
        *,
        longest_seconds: float = math.inf,
        progress: Callable[[Stage], object] = lambda stage: None,
    ) -> Iterator[Song]:
        """Read a file as `read` does, but in parts, so that memory use does not grow with the song's length.

        Args, Raises: as for `read`. An error may be raised after some parts have already been yielded.
        """
        if is_image(source):
            yield self.of_image(source)
            return
        decoded = blocks(
            source, rate=self.sample_rate, longest_seconds=longest_seconds, on_packet=lambda: progress("decode")
        )
        with closing(decoded):
            yield from _grouped(self.cut(decoded, lambda: progress("input")))

    def of_image(self, source: Path | bytes) -> Song:
        """Return the input for a spectrogram image.

        Raises:
            AudioError: the image is black, or this kind cannot be computed from an image.
            ImageError: the file is not a spectrogram image.
            OSError: the file cannot be opened.
        """
        levels = spectrogram.read_png(source)
        if not levels.any():
            raise audio.AudioError(audio.SILENT_MESSAGE)
        return Song(self.from_levels(levels)[None], ())

    def from_blocks(
        self, samples: Iterable[NDArray[np.float32]], *, progress: Callable[[], object] = lambda: None
    ) -> Song:
        """Return the input for a song's samples. Args, Raises: as for `cut`."""
        return join(self.cut(samples, progress))


def join(parts: Iterable[Song]) -> Song:
    """Combine the parts of a song into one `Song`."""
    songs = list(parts)
    return Song(
        np.concatenate([song.windows for song in songs]),
        tuple(chain.from_iterable(song.times for song in songs)),
        tuple(chain.from_iterable(song.numbers for song in songs)),
    )


def _grouped(parts: Iterable[Song]) -> Iterator[Song]:
    """Join parts until they contain at least `WINDOWS_PER_PART` windows."""
    group: list[Song] = []
    for part in parts:
        group.append(part)
        if sum(len(song.windows) for song in group) >= WINDOWS_PER_PART:
            yield join(group)
            group = []
    if group:
        yield join(group)
