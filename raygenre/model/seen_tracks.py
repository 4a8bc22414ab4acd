"""The tracks that a classifier was trained and tested on.

Later evaluations exclude the training tracks. A track is identified by its id or by a fingerprint of its levels: the
first 64 bits of their SHA-256, in hexadecimal. The same image under a different id counts as the same track. A
different image under the same id also counts as the same track, because it usually shows the same recording.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_HEX_DIGITS = 16


@dataclass(frozen=True)
class SeenTracks:
    """Training and test tracks.

    Attributes:
        train: id → fingerprint, for tracks used to train or select the network.
        test: id → fingerprint, for tracks used to test it.
    """

    train: Mapping[str, str]
    test: Mapping[str, str]

    @classmethod
    def of(cls, tracks: Sequence[str], levels: NDArray[np.uint8], *, train: Iterable[int], test: Iterable[int]) -> Self:
        """Select training and test tracks by their indices in `tracks` and in `levels`, uint8 (N, 128, 333)."""
        return cls(*({tracks[i]: fingerprint(levels[i]) for i in side} for side in (train, test)))

    def unseen(self, tracks: Sequence[str], levels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return bool (N,): True for each track that is not among the training tracks."""
        fingerprints = set(self.train.values())
        return np.array(
            [
                track not in self.train and fingerprint(image) not in fingerprints
                for track, image in zip(tracks, levels, strict=True)
            ],
            dtype=np.bool_,
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=0)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Restore the tracks from the result of `to_json`.

        Raises:
            ValueError: the text is malformed.
        """
        try:
            sides = json.loads(text)
            return cls(*({str(track): str(mark) for track, mark in sides[side].items()} for side in ("train", "test")))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"malformed lists of tracks: {error!r}") from error


def fingerprint(levels: NDArray[np.uint8]) -> str:
    """Return the fingerprint of a track's levels (128, 333)."""
    return hashlib.sha256(np.ascontiguousarray(levels).tobytes()).hexdigest()[:_HEX_DIGITS]
