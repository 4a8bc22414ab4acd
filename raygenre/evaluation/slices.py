"""Parts of the evaluated tracks that say different things about a classifier.

A track that the network was trained on, a copy of one, or another song of an artist that it was trained on is easier
than music at large; a faulty recording is harder. Which tracks those are is taken from files, and from what the
classifier has noted of its own training.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raygenre.data.dataset import Dataset
from raygenre.data.duplicates import recordings
from raygenre.data.track_files import DataError, listed_track
from raygenre.model.seen_tracks import SeenTracks

TAUGHT = "trained on"
"""Name of the slice of tracks that the network was trained on."""

_INDEX = ":::"  # between the fields of B. Sturm's index of GTZAN: file, artist, title


@dataclass(frozen=True)
class Known:
    """What is known of tracks besides their genres; None where nothing is.

    Attributes:
        duplicates: groups of track ids that are the same recording.
        artists: track id → artist.
        faults: ids of tracks whose recording is damaged, or whose genre is wrong.
    """

    duplicates: Sequence[Sequence[str]] | None = None
    artists: Mapping[str, str] | None = None
    faults: frozenset[str] | None = None


@dataclass(frozen=True)
class Slice:
    """Some of the tracks of a data set.

    Attributes:
        name: what they have in common.
        mask: bool (N,), which they are.
        given: whether it was asked for with a file; then it may have no tracks.
    """

    name: str
    mask: NDArray[np.bool_]
    given: bool = False


def slices(dataset: Dataset, seen: SeenTracks | None, known: Known) -> tuple[Slice, ...]:
    """Divide a data set by what is known of its tracks; slices without a track are left out unless they were asked for.

    Raises:
        DataError: a file was given that names no track of the data set.
    """
    taught = set(seen.train) if seen else set()
    found: dict[str, Iterable[bool]] = {}
    if seen:
        new = seen.unseen(dataset.tracks, dataset.levels)
        found |= {TAUGHT: ~new, "not trained on": new}
    unasked = set(found)
    recording_of = recordings(dataset, known.duplicates or ())
    others = [recording_of[track] - {track} for track in dataset.tracks]
    if known.duplicates is not None or any(others):
        found["with a known copy"] = [bool(copies) for copies in others]
        found["with a copy that was trained on"] = [bool(copies & taught) for copies in others]
        found["without a known copy"] = [not copies for copies in others]
    if known.duplicates is None:
        unasked |= found.keys()
    if known.artists is not None:
        artists = [known.artists.get(track) for track in dataset.tracks]
        _check(dataset, known.artists, "track with an artist")
        heard = {artist for track, artist in known.artists.items() if track in taught}
        if seen:
            found["artist trained on"] = [artist in heard for artist in artists]
            found["artist not trained on"] = [artist is not None and artist not in heard for artist in artists]
        found["artist not known"] = [artist is None for artist in artists]
    if known.faults is not None:
        _check(dataset, known.faults, "faulty track")
        found["faulty"] = [track in known.faults for track in dataset.tracks]
        found["not faulty"] = [track not in known.faults for track in dataset.tracks]
    masks = {name: np.array(list(chosen), dtype=np.bool_) for name, chosen in found.items()}
    return tuple(
        Slice(name, mask, given=name not in unasked)
        for name, mask in masks.items()
        if mask.any() or name not in unasked
    )


def read_artists(path: Path) -> dict[str, str]:
    """Read the artist of each track, from lines `track,artist` (CSV, with or without a first line of these names) or
    `track.wav ::: artist ::: title`. A line without an artist is passed over; upper and lower case are the same.

    Raises:
        DataError: a line is neither.
        OSError: the file cannot be read.
    """
    artists = {}
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split(_INDEX) if _INDEX in line else next(csv.reader([line]))
        if len(fields) < 2:
            raise DataError(f"{path}, line {number}: expected track,artist but found {line[:60]!r}")
        track, artist = (field.strip() for field in fields[:2])
        if artist and (number, track.lower()) != (1, "track"):
            artists[listed_track(track.removesuffix(".wav") if _INDEX in line else track)] = artist.casefold()
    return artists


def read_tracks(path: Path) -> frozenset[str]:
    """Read track ids, one a line.

    Raises:
        DataError: the file is no text.
        OSError: it cannot be read.
    """
    return frozenset(listed_track(line) for line in _lines(path))


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8") from error


def _check(dataset: Dataset, named: Iterable[str], what: str) -> None:
    tracks = set(dataset.tracks)
    if not any(track in tracks for track in named):
        example = next(iter(sorted(named)), "none at all")
        raise DataError(f"no {what}, such as {example}, is in {dataset.source}")
