"""Summarise each subset of a search's split: a digest and the number of tracks per genre."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from raygenre.data.dataset import Dataset
from raygenre.data.splits import Split


@dataclass(frozen=True)
class Part:
    """A subset of a split.

    Attributes:
        name: name of the dataset.
        source: folder of the dataset, or `synthetic`.
        use: purpose of the tracks, such as `training`.
        digest: hexadecimal SHA-256 of the track ids and the dataset's digest; the same tracks have the same digest.
        counts: number of tracks per genre.
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
    """Return the subsets of a split: training, validation and test.

    With several folds, the validation tracks of one fold are training tracks of the others, so the training subset is
    the union of all folds' training tracks.
    """
    [first, *more] = split.folds
    if more:
        validation = {f"validation {number}": fold.validation for number, fold in enumerate(split.folds, start=1)}
        sides = {"training": split.train, **validation, "test": split.test}
    else:
        sides = {"training": first.train, "validation": first.validation, "test": split.test}
    label_of = dict(zip(dataset.tracks, dataset.labels.tolist(), strict=True))
    name = "synthetic" if dataset.synthetic else Path(dataset.source).name or dataset.source
    summary = []
    for use, tracks in sides.items():
        counts = Counter(label_of[track] for track in tracks)
        ordered = {dataset.genres[label]: counts[label] for label in range(len(dataset.genres))}
        summary.append(Part(name, dataset.source, use, tracks_digest(tracks, dataset.digest), ordered))
    return summary


def tracks_digest(tracks: tuple[str, ...], data_digest: str) -> str:
    """Return a hexadecimal SHA-256 that identifies a set of tracks in a dataset, regardless of their order."""
    return hashlib.sha256(json.dumps([sorted(tracks), data_digest]).encode()).hexdigest()
