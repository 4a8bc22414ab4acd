"""What the decoding threads can compute from a file: a kind of input, or tags."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from raygenre.inputs.kind import InputKind, Song, join

T_co = TypeVar("T_co", covariant=True)
OnPart = Callable[[Song], object]


class Reader(Protocol[T_co]):
    """Computes a result from images or samples; every `InputKind` is a reader."""

    @property
    def name(self) -> Literal["levels", "features"]:
        """The name of this stage of processing in the metrics."""

    @property
    def sample_rate(self) -> int:
        """The sample rate of the audio, in Hz."""

    def of_image(self, source: bytes) -> T_co:
        """Return the result for a PNG.

        Raises:
            ValueError: the PNG cannot be used.
        """

    def from_blocks(self, samples: Iterable[NDArray[np.float32]], *, progress: Callable[[], object] = ...) -> T_co:
        """Return the result for blocks of samples.

        Args, Raises: see `InputKind.cut`.
        """


@dataclass(frozen=True)
class PartReader:
    """Computes a kind of input, and reports each part of a song as soon as it is computed.

    Attributes:
        kind: the kind of input.
        on_part: function to call with each part, in the thread that computes it.
    """

    kind: InputKind
    on_part: OnPart

    @property
    def name(self) -> Literal["levels", "features"]:
        """The name of this stage of processing in the metrics."""
        return self.kind.name

    @property
    def sample_rate(self) -> int:
        """The sample rate of the audio, in Hz."""
        return self.kind.sample_rate

    def of_image(self, source: bytes) -> Song:
        """Return the input for a PNG, and report it as the song's only part.

        Raises: see `InputKind.of_image`.
        """
        song = self.kind.of_image(source)
        self.on_part(song)
        return song

    def from_blocks(
        self, samples: Iterable[NDArray[np.float32]], *, progress: Callable[[], object] = lambda: None
    ) -> Song:
        """Return the input for blocks of samples.

        Args, Raises: see `InputKind.cut`.
        """
        return join(self._reported(self.kind.cut(samples, progress)))

    def _reported(self, parts: Iterable[Song]) -> Iterator[Song]:
        for part in parts:
            self.on_part(part)
            yield part
