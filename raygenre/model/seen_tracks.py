"""Which tracks a classifier was trained on and which it was tested on, so that a later test can leave out the first.

A track is known by its id and by a fingerprint of its levels, the first 64 bits of their SHA-256 in hexadecimal: the
same picture under another name is the same track, and so is the same name with another picture, since that is most
often the same recording in another file.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_HEX = 16


@dataclass(frozen=True)
class SeenTracks:
    """Tracks by their side of the split.

    Attributes:
        train: id → fingerprint of the tracks that taught the network, or helped to choose it.
        test: the same of the tracks that it was tested on.
    """

    train: Mapping[str, str]
    test: Mapping[str, str]

    @classmethod
    def of(cls, tracks: Sequence[str], levels: NDArray[np.uint8], *, train: Iterable[int], test: Iterable[int]) -> Self:
        """Note tracks by their places in `tracks` and in `levels`, uint8 (N, 128, 333)."""
        return cls(*({tracks[i]: fingerprint(levels[i]) for i in side} for side in (train, test)))

    def unseen(self, tracks: Sequence[str], levels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return bool (N,): which of these tracks are not among those that the network was trained on."""
        known = set(self.train.values())
        return np.array(
            [
                track not in self.train and fingerprint(picture) not in known
                for track, picture in zip(tracks, levels, strict=True)
            ],
            dtype=np.bool_,
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=0)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            sides = json.loads(text)
            return cls(*({str(track): str(mark) for track, mark in sides[side].items()} for side in ("train", "test")))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no lists of tracks: {error!r}") from error


def fingerprint(levels: NDArray[np.uint8]) -> str:
    """Return what a picture's levels (128, 333) are known by."""
    return hashlib.sha256(np.ascontiguousarray(levels).tobytes()).hexdigest()[:_HEX]
