"""Find tracks that are the same recording.

GTZAN contains some recordings more than once, even under different genres. If a network is trained on a copy of a test
track, the accuracy is inflated, so splits keep all copies of a recording in the same subset. Tracks are copies of each
other if their levels are equal, if a file with known duplicates lists them together, or if both are copies of a third
track.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from raygenre.data.dataset import Dataset
from raygenre.data.track_files import DataError, listed_track

Group = tuple[int, ...]
"""The positions, in a dataset, of all tracks that are the same recording."""


def read_duplicates(path: Path) -> list[tuple[str, ...]]:
    """Read groups of track ids; the tracks in a group are the same recording.

    The file is either JSON (an object with lists of `{"a": ID, "b": ID}` objects) or text (one group per line, with the
    ids separated by commas; or by spaces, if the line has no comma).

    Raises:
        DataError: the file is in neither format.
        OSError: the file cannot be read.
    """
    groups: list[tuple[str, ...]]
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith(("{", "[")):
            content = json.loads(text)
            lists = [value for value in content.values() if isinstance(value, list)]
            groups = [(str(pair["a"]), str(pair["b"])) for pairs in lists for pair in pairs]
        else:
            groups = [_ids(line) for line in text.splitlines() if line.strip()]
    except (UnicodeDecodeError, json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f'{path}: expected an object with lists of {{"a": track, "b": track}}, '
            f"or lines of track ids, but reading it failed with {error!r}"
        ) from error
    return [tuple(listed_track(name) for name in group) for group in groups if group]


def _ids(line: str) -> tuple[str, ...]:
    ids = line.split(",") if "," in line else line.split()
    return tuple(name.strip() for name in ids if name.strip())


def recordings(dataset: Dataset, duplicates: Iterable[Sequence[str]]) -> dict[str, frozenset[str]]:
    """Map each track to its recording, which is the set of its own id and the ids of all its copies.

    Args:
        duplicates: groups of track ids; the tracks in a group are known to be the same recording. The tracks need
            not be in the dataset.

    Returns:
        Track id → ids, for all tracks in the dataset and all others listed in `duplicates`.
    """
    same_levels: dict[bytes, list[str]] = {}
    for track, levels in zip(dataset.tracks, dataset.levels, strict=True):
        same_levels.setdefault(levels.tobytes(), []).append(track)
    recording_of = {track: frozenset([track]) for track in dataset.tracks}
    for group in [*same_levels.values(), *duplicates]:
        joined = frozenset(group).union(*(recording_of.get(track, ()) for track in group))
        recording_of.update(dict.fromkeys(joined, joined))
    return recording_of


def same_recordings(dataset: Dataset, duplicates: Iterable[Sequence[str]] | None) -> list[Group]:
    """Group a dataset's tracks by recording; the groups are ordered by their first track.

    Args:
        duplicates: groups of track ids; the tracks in a group are known to be the same recording. If None, every track
            is treated as a separate recording, even if its levels are equal to another track's.

    Raises:
        DataError: groups are given, but the dataset contains none of their tracks.
    """
    position = {track: number for number, track in enumerate(dataset.tracks)}
    if duplicates is None:
        return [(number,) for number in position.values()]
    known = [tuple(group) for group in duplicates]
    if known and not any(track in position for group in known for track in group):
        example = next((track for group in known for track in group), "none at all")
        raise DataError(
            f"none of the known duplicates, such as {example}, is in {dataset.source}; "
            "pass --duplicates a list for this data set"
        )
    recording_of = recordings(dataset, known)
    groups = dict.fromkeys(recording_of[track] for track in dataset.tracks)
    return [tuple(sorted(position[track] for track in group if track in position)) for group in groups]
