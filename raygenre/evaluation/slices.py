"""Slices: subsets of tracks on which accuracy may differ from the accuracy on new music.

Training tracks, copies of training tracks, and other songs by the artists of training tracks are easier to classify
than new music; faulty recordings are harder. Slices are derived from files that the user provides and from the
classifier's own record of its training tracks.
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

TRAINED_ON = "trained on"
"""Name of the slice that contains the tracks that the network was trained on."""

_SEPARATOR = ":::"  # separates the fields in B. Sturm's index of GTZAN: file, artist, title


@dataclass(frozen=True)
class TrackFacts:
    """Facts about tracks, apart from their genres. A fact is None if the user provided no file for it.

    Attributes:
        duplicates: groups of track ids; the tracks in a group are the same recording.
        artists: artist of each track, by track id.
        faults: ids of tracks whose recording is damaged or whose genre is wrong.
    """

    duplicates: Sequence[Sequence[str]] | None = None
    artists: Mapping[str, str] | None = None
    faults: frozenset[str] | None = None


@dataclass(frozen=True)
class Slice:
    """A subset of the tracks of a data set.

    Attributes:
        name: property that the tracks have in common; it is part of the names of MLflow metrics.
        mask: bool (N,), whether each track is in the slice.
        given: whether the user provided a file for it; such a slice is listed even if it is empty.
    """

    name: str
    mask: NDArray[np.bool_]
    given: bool = False


def make_slices(dataset: Dataset, seen: SeenTracks | None, facts: TrackFacts) -> tuple[Slice, ...]:
    """Return the slices of a data set. An empty slice is included only if the user provided a file for it.

    Raises:
        DataError: none of the tracks named in a file is in the data set.
    """
    trained_on = set(seen.train) if seen else set()
    members: dict[str, Iterable[bool]] = {}
    if seen:
        unseen = seen.unseen(dataset.tracks, dataset.levels)
        members |= {TRAINED_ON: ~unseen, "not trained on": unseen}
    not_given = set(members)
    recording_of = recordings(dataset, facts.duplicates or ())
    copies = [recording_of[track] - {track} for track in dataset.tracks]
    if facts.duplicates is not None or any(copies):
        members["with a known copy"] = [bool(tracks) for tracks in copies]
        members["with a copy that was trained on"] = [bool(tracks & trained_on) for tracks in copies]
        members["without a known copy"] = [not tracks for tracks in copies]
    if facts.duplicates is None:
        not_given |= members.keys()
    if facts.artists is not None:
        artists = [facts.artists.get(track) for track in dataset.tracks]
        _check_names(dataset, facts.artists, "tracks with an artist")
        trained_artists = {artist for track, artist in facts.artists.items() if track in trained_on}
        if seen:
            members["artist trained on"] = [artist in trained_artists for artist in artists]
            members["artist not trained on"] = [
                artist is not None and artist not in trained_artists for artist in artists
            ]
        members["artist not known"] = [artist is None for artist in artists]
    if facts.faults is not None:
        _check_names(dataset, facts.faults, "faulty tracks")
        members["faulty"] = [track in facts.faults for track in dataset.tracks]
        members["not faulty"] = [track not in facts.faults for track in dataset.tracks]
    masks = {name: np.array(list(mask), dtype=np.bool_) for name, mask in members.items()}
    return tuple(
        Slice(name, mask, given=name not in not_given)
        for name, mask in masks.items()
        if mask.any() or name not in not_given
    )


def read_artists(path: Path) -> dict[str, str]:
    """Read the artist of each track, in lower case.

    Each line is `track,artist` (CSV, the header is optional) or `track.wav ::: artist ::: title`. Lines without an
    artist are skipped.

    Raises:
        DataError: a line is in neither format.
        OSError: the file cannot be read.
    """
    artists = {}
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split(_SEPARATOR) if _SEPARATOR in line else next(csv.reader([line]))
        if len(fields) < 2:
            raise DataError(f"{path}, line {number}: expected track,artist but found {line[:60]!r}")
        track, artist = (field.strip() for field in fields[:2])
        if artist and (number, track.lower()) != (1, "track"):
            artists[listed_track(track.removesuffix(".wav") if _SEPARATOR in line else track)] = artist.casefold()
    return artists


def read_tracks(path: Path) -> frozenset[str]:
    """Read track ids, one per line.

    Raises:
        DataError: the file is not UTF-8 text.
        OSError: the file cannot be read.
    """
    return frozenset(listed_track(line) for line in _lines(path))


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text") from error


def _check_names(dataset: Dataset, names: Iterable[str], what: str) -> None:
    tracks = set(dataset.tracks)
    if not any(track in tracks for track in names):
        example = next(iter(sorted(names)), "none at all")
        raise DataError(f"none of the {what}, such as {example}, is in {dataset.source}")
