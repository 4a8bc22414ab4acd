"""Which tracks train, validate and test.

A split is drawn from a seed and saved as lists of track ids. Test tracks are set aside first and touched once per
candidate, after the search; validation comes from the training part, as one hold-out or as folds. Recordings that
are the same, because their levels are equal or because a file of duplicates says so, stay on one side.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from raygenre.data.dataset import Dataset
from raygenre.data.duplicates import Group, same_recordings
from raygenre.data.track_files import DataError, listed_track

TEST_SHARE = 0.2  # of each genre, rounded down: 20 of GTZAN's 100 tracks, 19 of jazz's 99
MOST_MISSING = 0.05  # share of a given list that may be missing from the data

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """Track ids of one division of the training part; a hold-out is a single fold."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """Track ids of the test part and of each fold of the training part.

    Attributes:
        kind: `random` or `lists`.
        seed: what it was drawn from.
        test: tracks that no training and no choice may see.
        folds: at least one.
        left_out: duplicates of tracks on a more protected side, and tracks that given lists do not name.
        missing: tracks that given lists name and the data do not have.
    """

    kind: str
    seed: int
    test: tuple[str, ...]
    folds: tuple[Fold, ...]
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def train(self) -> tuple[str, ...]:
        """All tracks that may be trained on, validation included."""
        return tuple(sorted({*self.folds[0].train, *self.folds[0].validation}))

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields: dict[str, Any] = json.loads(text)
        folds = tuple(Fold(tuple(fold["train"]), tuple(fold["validation"])) for fold in fields.pop("folds"))
        kind, seed = fields.pop("kind"), fields.pop("seed")
        return cls(kind, seed, folds=folds, **{name: tuple(tracks) for name, tracks in fields.items()})


def random_split(
    dataset: Dataset, *, seed: int, folds: int, validation: float, duplicates: Iterable[Sequence[str]] | None
) -> Split:
    """Set a fifth of each genre aside for the test, and divide the rest into training and validation.

    Args:
        folds: 1 for one stratified hold-out, K for K-fold cross-validation.
        validation: share of the training part that a single hold-out takes.
        duplicates: groups of track ids known to be the same recording, besides those with equal levels;
            None treats every track as a recording of its own.

    Raises:
        DataError: a genre has too few recordings for each side to get one.
        ValueError: folds or validation out of range.
    """
    random = np.random.default_rng(seed)
    groups = same_recordings(dataset, duplicates)
    everything = Counter(dataset.labels.tolist())
    test = _draw(groups, dataset, {label: int(TEST_SHARE * n) for label, n in everything.items()}, random)
    rest = [group for group in groups if group not in test]
    divided = _folds(dataset, rest, folds, validation, random)
    split = Split("random", seed, _ids(dataset, test), divided)
    _check(dataset, split)
    return split


def given_split(
    dataset: Dataset,
    lists: Path,
    *,
    seed: int,
    folds: int,
    validation: float,
    duplicates: Iterable[Sequence[str]] | None,
) -> Split:
    """Take training, validation and test tracks from the files `train*.txt`, `valid*.txt` and `test*.txt` of a folder.

    A line names a track by its id or as `genre/genre.NNNNN.wav`. With one fold the given validation list is used
    as it is (`validation` counts only where there is no such file); with more, training and validation tracks are
    divided anew. A duplicate of a test track is left out of training and validation, one of a validation track
    out of training.

    Raises:
        DataError: a file is missing or there are two, lists overlap, over 5 % of a list is not in the data,
            or a side lacks a genre.
    """
    random = np.random.default_rng(seed)
    sides = {name: _read_list(lists, name) for name in ("train", "valid", "test")}
    index = {track: number for number, track in enumerate(dataset.tracks)}
    missing: list[str] = []
    for name, tracks in sides.items():
        absent = sorted(tracks - index.keys())
        if len(absent) > MOST_MISSING * max(len(tracks), 1):
            raise DataError(
                f"{len(absent)} of the {len(tracks)} tracks of the {name} list in {lists} are not in "
                f"{dataset.source}, such as {absent[0]}"
            )
        missing += absent
        for other, others in sides.items():
            if name < other and (both := tracks & others):
                raise DataError(f"{lists}: {min(both)} is in the {name} list and in the {other} list")
    groups = same_recordings(dataset, duplicates)
    taken: dict[str, list[Group]] = {"train": [], "valid": [], "test": []}
    for group in groups:
        named = {name: tuple(i for i in group if dataset.tracks[i] in tracks) for name, tracks in sides.items()}
        side = next((name for name in ("test", "valid", "train") if named[name]), None)
        if side:
            taken[side].append(named[side])
    if folds == 1 and sides["valid"]:
        divided: tuple[Fold, ...] = (Fold(_ids(dataset, taken["train"]), _ids(dataset, taken["valid"])),)
    else:
        divided = _folds(dataset, taken["train"] + taken["valid"], folds, validation, random)
    kept = {i for side in taken.values() for group in side for i in group}
    left_out = tuple(track for track, i in index.items() if i not in kept)
    split = Split("lists", seed, _ids(dataset, taken["test"]), divided, left_out, tuple(missing))
    _check(dataset, split)
    return split


def indices(dataset: Dataset, tracks: Iterable[str]) -> Indices:
    """Positions of tracks in the data set, int64 (n,).

    Raises:
        KeyError: a track is not in the data set.
    """
    position = {track: number for number, track in enumerate(dataset.tracks)}
    return np.array([position[track] for track in tracks], dtype=np.int64)


def _draw(
    groups: Sequence[Group], dataset: Dataset, quota: Mapping[int, int], random: np.random.Generator
) -> set[Group]:
    """Draw groups until each genre has its quota of tracks; a group that would pass a quota is not drawn."""
    left = dict(quota)
    drawn: set[Group] = set()
    for number in random.permutation(len(groups)):
        need = Counter(int(dataset.labels[i]) for i in groups[number])
        if all(left[label] >= n for label, n in need.items()):
            drawn.add(groups[number])
            for label, n in need.items():
                left[label] -= n
    return drawn


def _folds(
    dataset: Dataset, groups: Sequence[Group], folds: int, validation: float, random: np.random.Generator
) -> tuple[Fold, ...]:
    if folds < 1:
        raise ValueError(f"folds must be at least 1, not {folds}")
    if not 0 < validation < 1:
        raise ValueError(f"validation must be between 0 and 1, not {validation}")
    counts = Counter(int(dataset.labels[i]) for group in groups for i in group)
    parts: list[set[Group]] = []
    if folds == 1:
        parts.append(
            _draw(groups, dataset, {label: max(1, round(validation * n)) for label, n in counts.items()}, random)
        )
    else:
        waiting = list(groups)
        for fold in range(folds - 1):
            quota = {label: n * (fold + 1) // folds - n * fold // folds for label, n in counts.items()}
            parts.append(_draw(waiting, dataset, quota, random))
            waiting = [group for group in waiting if group not in parts[-1]]
        parts.append(set(waiting))
    return tuple(
        Fold(_ids(dataset, [group for group in groups if group not in part]), _ids(dataset, part)) for part in parts
    )


def _check(dataset: Dataset, split: Split) -> None:
    genre_of = {track: dataset.genres[label] for track, label in zip(dataset.tracks, dataset.labels, strict=True)}
    sides = {"test": split.test}
    for number, fold in enumerate(split.folds, start=1):
        sides |= {f"fold {number}'s training": fold.train, f"fold {number}'s validation": fold.validation}
    for side, tracks in sides.items():
        lacking = sorted(set(dataset.genres) - {genre_of[track] for track in tracks})
        if lacking:
            raise DataError(
                f"the {side} part has no track of {', '.join(lacking)}; "
                "a genre needs at least five different recordings, and one for each fold"
            )


def _ids(dataset: Dataset, groups: Iterable[Group]) -> tuple[str, ...]:
    return tuple(sorted(dataset.tracks[i] for group in groups for i in group))


def _read_list(folder: Path, name: str) -> set[str]:
    files = sorted(folder.glob(f"{name}*.txt"))
    if name == "valid" and not files:
        return set()
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{folder} must hold exactly one file {name}*.txt; found: {found}")
    lines = (line.strip() for line in files[0].read_text().splitlines())
    return {listed_track(line) for line in lines if line}
