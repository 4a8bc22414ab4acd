"""The tags of a song in order of probability, and the note that accompanies them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOTE = "pretrained tags, not your genres"
BEST = 5


def ranked(tags: Sequence[str], shares: "NDArray[np.float32]") -> list[tuple[str, float]]:
    """Return (tag, probability) pairs, the most probable first."""
    return sorted(zip(tags, map(float, shares), strict=True), key=lambda pair: -pair[1])
