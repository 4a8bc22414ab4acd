"""Split a dataset's tracks into training, validation and test subsets.

A split is drawn from a seed and stored as lists of track ids. Test tracks are set aside first and used once per
candidate, after the search. Validation tracks are taken from the remaining tracks, as a single hold-out or as folds.
Every subset is stratified by genre, and all copies of a recording (see `raygenre.data.duplicates`) are in the same
subset, as are all songs in a group (see `raygenre.data.grouping`).
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from raygenre.data.dataset import Dataset
from raygenre.data.draw import divide_evenly, divide_large_groups, draw_quota
from raygenre.data.duplicates import Group, same_recordings
from raygenre.data.grouping import Grouping
from raygenre.data.track_files import DataError, listed_track
from raygenre.errors import RaygenreError

TEST_SHARE = 0.2  # share of each genre, rounded down: 20 of the 100 tracks of a GTZAN genre, but 19 of the 99 in jazz
MAX_MISSING_SHARE = 0.05  # largest share of a given list's tracks that may be missing from the dataset

Indices = NDArray[np.int64]


class SplitError(RaygenreError, ValueError):
    """An option for a split is out of range."""


@dataclass(frozen=True)
class Fold:
    """One division of the non-test tracks, by id, into training and validation tracks. A hold-out is a single fold."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """The ids of the test tracks and of each fold's training and validation tracks.

    Attributes:
        kind: `random` or `lists`.
        seed: the seed from which the split was drawn.
        test: tracks that neither training nor model selection may use.
        folds: one or more folds.
        left_out: copies of test or validation tracks, and tracks that are not in the given lists.
        missing: tracks that are in the given lists but not in the dataset.
    """

    kind: str
    seed: int
    test: tuple[str, ...]
    folds: tuple[Fold, ...]
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def train(self) -> tuple[str, ...]:
        """The training and validation tracks together, none of which are used for testing."""
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
    dataset: Dataset,
    *,
    seed: int,
    folds: int,
    validation: float,
    duplicates: Iterable[Sequence[str]] | None,
    grouping: Grouping | None = None,
) -> Split:
    """Draw a fifth of each genre as test tracks, and divide the remaining tracks into training and validation.

    Args:
        folds: 1 for a single hold-out, K for K-fold cross-validation.
        validation: share of the non-test tracks to use as a single hold-out.
        duplicates: groups of track ids; the tracks in a group are known to be the same recording. Tracks with equal
            levels also count as the same recording. If None, every track is treated as a separate recording.
        grouping: groups of tracks to keep together. The shares of the subsets are then approximate, since groups
            differ in size.

    Raises:
        DataError: a genre has too few recordings or groups to appear in every subset.
        SplitError: `folds` or `validation` is out of range.
    """
    random = np.random.default_rng(seed)
    groups = same_recordings(dataset, [*(duplicates or ()), *grouping.groups] if grouping else duplicates)
    if grouping:
        test = divide_large_groups(groups, dataset, round(1 / TEST_SHARE), random)[0]
    else:
        counts = Counter(dataset.labels.tolist())
        test = draw_quota(groups, dataset, {label: int(TEST_SHARE * n) for label, n in counts.items()}, random)
    rest = [group for group in groups if group not in test]
    divided = _folds(dataset, rest, folds, validation, random, grouped=bool(grouping))
    split = Split("random", seed, _ids(dataset, test), divided)
    _require_all_genres(dataset, split)
    return split


def given_split(
    dataset: Dataset,
    lists: Path,
    *,
    seed: int,
    folds: int,
    validation: float,
    duplicates: Iterable[Sequence[str]] | None,
    grouping: Grouping | None = None,
) -> Split:
    """Take training, validation and test tracks from the files `train*.txt`, `valid*.txt` and `test*.txt` in a folder.

    Each line contains a track's id or `genre/genre.NNNNN.wav`. With a single fold, the validation list is used as
    given. If the folder contains no such list, a share (`validation`) of the training list is drawn instead. With
    several folds, the training and validation tracks are pooled and divided again. Copies of a test track, and songs in
    its group, are left out of training and validation. Likewise, copies of a validation track, and songs in its group,
    are left out of training.

    Args:
        lists: folder that contains the lists.
        seed, folds, validation, duplicates, grouping: as for `random_split`.

    Raises:
        DataError: a list is missing or ambiguous, lists overlap, over 5 % of a list's tracks are not in the dataset, or
            a subset contains no track of a genre.
        SplitError: `folds` or `validation` is out of range.
    """
    random = np.random.default_rng(seed)
    sides = {name: _read_list(lists, name) for name in ("train", "valid", "test")}
    position = {track: number for number, track in enumerate(dataset.tracks)}
    missing: list[str] = []
    for name, tracks in sides.items():
        absent = sorted(tracks - position.keys())
        if len(absent) > MAX_MISSING_SHARE * max(len(tracks), 1):
            raise DataError(
                f"{len(absent)} of the {len(tracks)} tracks of the {name} list in {lists} are not in "
                f"{dataset.source}, such as {absent[0]}; use the lists for this data set"
            )
        missing += absent
        for second, second_tracks in sides.items():
            if name < second and (both := tracks & second_tracks):
                raise DataError(
                    f"{lists}: {min(both)} is in the {name} list and in the {second} list; remove it from one of them"
                )
    groups = same_recordings(dataset, [*(duplicates or ()), *grouping.groups] if grouping else duplicates)
    kept: dict[str, list[Group]] = {"train": [], "valid": [], "test": []}
    for group in groups:
        listed = {name: tuple(i for i in group if dataset.tracks[i] in tracks) for name, tracks in sides.items()}
        side = next((name for name in ("test", "valid", "train") if listed[name]), None)
        if side:
            kept[side].append(listed[side])
    if folds == 1 and sides["valid"]:
        divided: tuple[Fold, ...] = (Fold(_ids(dataset, kept["train"]), _ids(dataset, kept["valid"])),)
    else:
        divided = _folds(dataset, kept["train"] + kept["valid"], folds, validation, random, grouped=bool(grouping))
    used = {i for groups_of_side in kept.values() for group in groups_of_side for i in group}
    left_out = tuple(track for track, i in position.items() if i not in used)
    split = Split("lists", seed, _ids(dataset, kept["test"]), divided, left_out, tuple(missing))
    _require_all_genres(dataset, split)
    return split


def indices(dataset: Dataset, tracks: Iterable[str]) -> Indices:
    """Return the tracks' positions in the dataset, int64 (n,).

    Raises:
        KeyError: a track is not in the dataset.
    """
    position = {track: number for number, track in enumerate(dataset.tracks)}
    return np.array([position[track] for track in tracks], dtype=np.int64)


def _folds(
    dataset: Dataset,
    groups: Sequence[Group],
    folds: int,
    validation: float,
    random: np.random.Generator,
    *,
    grouped: bool = False,
) -> tuple[Fold, ...]:
    if folds < 1:
        raise SplitError(f"folds must be at least 1, not {folds}")
    if not 0 < validation < 1:
        raise SplitError(f"validation must be between 0 and 1, not {validation}")
    if grouped:
        parts = divide_large_groups(groups, dataset, folds if folds > 1 else round(1 / validation), random)
        parts = parts[:folds]
    elif folds > 1:
        parts = divide_evenly(groups, dataset, folds, random)
    else:
        counts = Counter(int(dataset.labels[i]) for group in groups for i in group)
        quota = {label: max(1, round(validation * n)) for label, n in counts.items()}
        parts = [draw_quota(groups, dataset, quota, random)]
    return tuple(
        Fold(_ids(dataset, [group for group in groups if group not in part]), _ids(dataset, part)) for part in parts
    )


def _require_all_genres(dataset: Dataset, split: Split) -> None:
    genre_of = {track: dataset.genres[label] for track, label in zip(dataset.tracks, dataset.labels, strict=True)}
    sides = {"test": split.test}
    for number, fold in enumerate(split.folds, start=1):
        sides |= {f"fold {number}'s training": fold.train, f"fold {number}'s validation": fold.validation}
    for side, tracks in sides.items():
        absent = sorted(set(dataset.genres) - {genre_of[track] for track in tracks})
        if absent:
            raise DataError(
                f"the {side} subset contains no tracks of {', '.join(absent)}; "
                "every genre needs at least five different recordings (or three groups), and at least one per fold"
            )


def _ids(dataset: Dataset, groups: Iterable[Group]) -> tuple[str, ...]:
    return tuple(sorted(dataset.tracks[i] for group in groups for i in group))


def _read_list(folder: Path, name: str) -> set[str]:
    files = sorted(folder.glob(f"{name}*.txt"))
    if name == "valid" and not files:
        return set()
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{folder} must contain exactly one file {name}*.txt; found: {names}")
    try:
        lines = [line.strip() for line in files[0].read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise DataError(f"{files[0]} is not UTF-8 text; save it as UTF-8") from error
    return {listed_track(line) for line in lines if line}
