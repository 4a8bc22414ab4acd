"""What the decoding threads can compute from a file: a kind of input, or tags."""

from collections.abc import Callable, Iterable
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T_co = TypeVar("T_co", covariant=True)


class Reader(Protocol[T_co]):
    """Computes a result from images and from samples; each `InputKind` is one."""

    @property
    def name(self) -> Literal["levels", "features"]:
        """The stage in the metrics."""

    @property
    def sample_rate(self) -> int:
        """Rate of the samples, in Hz."""

    def of_image(self, source: bytes) -> T_co:
        """Return the result for a PNG.

        Raises:
            ValueError: it cannot be used.
        """

    def from_blocks(self, samples: Iterable[NDArray[np.float32]], *, progress: Callable[[], object] = ...) -> T_co:
        """Return the result for blocks of samples. Args, Raises: as for `InputKind.cut`."""
