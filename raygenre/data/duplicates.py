"""Which tracks are the same recording.

GTZAN holds some recordings twice or more, even under different genres. A copy in the test part of a track that was
trained on inflates the accuracy, so splits keep the tracks of a group on one side.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from raygenre.data.dataset import Dataset
from raygenre.data.track_files import DataError, listed_track

Group = tuple[int, ...]
"""Positions in a data set of tracks that must stay together."""


def read_duplicates(path: Path) -> list[tuple[str, ...]]:
    """Read groups of track ids that are the same recording.

    Either JSON, an object whose lists hold objects with `a` and `b`, or text, one group a line with ids apart by
    blanks or commas.

    Raises:
        DataError: the file is neither.
        OSError: it cannot be read.
    """
    groups: list[tuple[str, ...]]
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith(("{", "[")):
            content = json.loads(text)
            lists = [value for value in content.values() if isinstance(value, list)]
            groups = [(str(pair["a"]), str(pair["b"])) for pairs in lists for pair in pairs]
        else:
            groups = [tuple(line.replace(",", " ").split()) for line in text.splitlines() if line.strip()]
    except (UnicodeDecodeError, json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f'{path}: expected an object with lists of {{"a": track, "b": track}}, but {error!r}'
        ) from error
    return [tuple(listed_track(name) for name in group) for group in groups if group]


def same_recordings(dataset: Dataset, duplicates: Iterable[Sequence[str]] | None) -> list[Group]:
    """Group the tracks of a data set by recording, in order of their first track.

    Args:
        duplicates: groups of track ids known to be the same recording, besides those with equal levels; groups
            with a common member are joined. None makes every track a group of its own.

    Raises:
        DataError: groups are given, and none of their tracks is in the data set.
    """
    if duplicates is None:
        return [(i,) for i in range(len(dataset.tracks))]
    leader = list(range(len(dataset.tracks)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    index = {track: number for number, track in enumerate(dataset.tracks)}
    same_levels: dict[bytes, list[int]] = {}
    for i, levels in enumerate(dataset.levels):
        same_levels.setdefault(levels.tobytes(), []).append(i)
    groups = [tuple(group) for group in duplicates]
    known = [[index[track] for track in group if track in index] for group in groups]
    if groups and not any(known):
        raise DataError(f"no track of the known duplicates, such as {groups[0][0]}, is in {dataset.source}")
    for members in [*same_levels.values(), *known]:
        for other in members[1:]:
            leader[max(find(members[0]), find(other))] = min(find(members[0]), find(other))
    joined: dict[int, list[int]] = {}
    for i in range(len(leader)):
        joined.setdefault(find(i), []).append(i)
    return [tuple(members) for members in joined.values()]
