"""Which data a search saw: each side of its split with a name, a digest and its tracks per genre."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from raygenre.data.dataset import Dataset
from raygenre.data.splits import Split


@dataclass(frozen=True)
class Part:
    """One side of a split.

    Attributes:
        name: of the data set.
        source: its folder, or `synthetic`.
        use: what its tracks are for, such as `training`.
        digest: SHA-256 of the tracks' ids and of the data set, hexadecimal; equal digests mean the same tracks.
        counts: tracks per genre.
    """

    name: str
    source: str
    use: str
    digest: str
    counts: dict[str, int]

    @property
    def tracks(self) -> int:
        return sum(self.counts.values())


def parts(dataset: Dataset, split: Split) -> list[Part]:
    """Return the sides of a split: training, validation and test.

    With several folds, each trains on what the others validate on: training is all of them then.
    """
    [first, *more] = split.folds
    if more:
        validation = {f"validation {number}": fold.validation for number, fold in enumerate(split.folds, start=1)}
        sides = {"training": split.train, **validation, "test": split.test}
    else:
        sides = {"training": first.train, "validation": first.validation, "test": split.test}
    genre = dict(zip(dataset.tracks, dataset.labels.tolist(), strict=True))
    name = "synthetic" if dataset.synthetic else Path(dataset.source).name or dataset.source
    found = []
    for use, tracks in sides.items():
        counts = Counter(dataset.genres[genre[track]] for track in tracks)
        ordered = {each: counts[each] for each in dataset.genres}
        found.append(Part(name, dataset.source, use, test_digest(tracks, dataset.digest), ordered))
    return found


def test_digest(tracks: tuple[str, ...], data_digest: str) -> str:
    """Identify a test: these tracks of this data set."""
    return hashlib.sha256(json.dumps([sorted(tracks), data_digest]).encode()).hexdigest()
