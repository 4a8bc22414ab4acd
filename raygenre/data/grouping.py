"""Group songs by artist or album, so that a split keeps each group together.

A network recognises an artist's voice, instruments and studio. If the training and test tracks contain songs by the
same artists, the measured accuracy is therefore higher than for artists who are not in the training data. On GTZAN, the
difference is about 14 percentage points. The groups come from the tags of audio files, from a file that names the
artist of each track, or from the subfolders of a class folder.
"""

import unicodedata
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from raygenre.audio.tags import read_tags
from raygenre.data.choices import GroupingName
from raygenre.data.dataset import Dataset
from raygenre.data.track_files import DataError, listed_track, read_folder
from raygenre.system.worker_pool import cores

_MIN_TAGGED_SHARE = 0.5  # `auto` uses tags or folders only if at least this share of the tracks has them
_MIN_GROUPS = 3  # per genre: one each for training, validation and test
_COMPILATION = ("various artists", "various", "va", "v.a.", "verschiedene interpreten", "artistes divers", "soundtrack")
"""Album artists, in normalised form, that are not artists."""
_WARNING = (
    "songs of one artist may be in several subsets, so expect lower accuracy on artists that are not in the data "
    "(by about 14 percentage points on GTZAN)"
)


@dataclass(frozen=True)
class Grouping:
    """Groups of tracks that a split keeps together.

    Attributes:
        by: what the tracks are grouped by: `artist`, `album`, `folder` or `none`.
        group_of: track id → name of its group. Tracks without a group are kept separate.
        note: one line for the user that describes the groups or explains why there are none.
    """

    by: GroupingName = "none"
    group_of: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def __bool__(self) -> bool:
        return self.by != "none"

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The ids of the tracks in each group."""
        members: dict[str, list[str]] = {}
        for track, group in self.group_of.items():
            members.setdefault(group, []).append(track)
        return [tuple(tracks) for tracks in members.values()]


def find_grouping(dataset: Dataset, by: GroupingName, *, artists: Path | None = None) -> Grouping:
    """Group a dataset's tracks.

    Args:
        by: `auto` groups by artist if an artist file is given or most audio files have an artist tag, otherwise by
            folder if most tracks are in folders below their class folder, and otherwise not at all.
        artists: file with lines of the form `TRACK ::: ARTIST`, as in Sturm's index of GTZAN, or `TRACK,ARTIST`.

    Raises:
        DataError: the requested grouping results in fewer than three groups in a genre, or the artist file does not
            belong to this data.
        OSError: the artist file cannot be read.
    """
    if by == "none" or dataset.synthetic:
        return Grouping(note="" if dataset.synthetic else f"none: {_WARNING}")
    given = read_artists(artists, dataset) if artists else {}
    if by in ("artist", "album") or (by == "auto" and given):
        group_of = given or _tagged(dataset, "artist" if by == "auto" else by)
        return _checked(dataset, "album" if by == "album" else "artist", group_of, required=by != "auto")
    known = set(dataset.tracks)
    folders = {path.track: path.folder for path in read_folder(Path(dataset.source)).paths if path.folder}
    folders = _by_folder({track: folder for track, folder in folders.items() if track in known}, dataset)
    if by == "folder":
        return _checked(dataset, "folder", folders, required=True)
    found: tuple[tuple[GroupingName, dict[str, str]], ...] = (
        ("artist", _tagged(dataset, "artist")),
        ("folder", folders),
    )
    for kind, group_of in found:
        if len(group_of) >= _MIN_TAGGED_SHARE * len(dataset.tracks):
            return _checked(dataset, kind, group_of, required=False)
    return Grouping(note=f"none: neither tags nor folders name the artists; {_WARNING}; --artists FILE can name them")


def read_artists(path: Path, dataset: Dataset) -> dict[str, str]:
    """Read a file that names the artist of each track.

    Returns:
        Track id → artist, for the tracks of the dataset; tracks with an empty artist are left out.

    Raises:
        DataError: a line is in neither format, or none of the tracks is in the dataset.
        OSError: the file cannot be read.
    """
    known = set(dataset.tracks)
    artists: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        separator = ":::" if ":::" in line else ","
        name, found, rest = line.partition(separator)
        if not found:
            raise DataError(f"{path}, line {number}: expected TRACK ::: ARTIST or TRACK,ARTIST, not {line.strip()!r}")
        artist = _form(rest.partition(":::")[0] if separator == ":::" else rest)
        track = _track(name.strip(), known)
        if track and artist:
            artists[track] = artist
    if not artists:
        raise DataError(f"{path} contains no artist for any track in {dataset.source}; use the file for this data set")
    return artists


def _checked(dataset: Dataset, by: GroupingName, group_of: Mapping[str, str], *, required: bool) -> Grouping:
    """Return the grouping, or an empty grouping if a genre has too few groups and grouping is not required."""
    groups: dict[str, set[str]] = {genre: set() for genre in dataset.genres}
    for track, label in zip(dataset.tracks, dataset.labels.tolist(), strict=True):
        groups[dataset.genres[label]].add(group_of.get(track, f"\0{track}"))
    genre = min(groups, key=lambda name: len(groups[name]))
    if len(groups[genre]) < _MIN_GROUPS:
        few = f"{genre} has only {len(groups[genre])} different {by}s, but at least {_MIN_GROUPS} are needed"
        if required:
            raise DataError(f"{few}; add tracks or use --group-by none")
        return Grouping(note=f"none, because {few}; {_WARNING}")
    count, alone = len(set(group_of.values())), len(dataset.tracks) - len(group_of)
    note = f"{count} {by}s; all tracks of each {by} are in the same subset"
    return Grouping(by, group_of, f"{note} ({alone} tracks have no {by})" if alone else note)


def _tagged(dataset: Dataset, by: str) -> dict[str, str]:
    """Return track id → artist or album from the tags of audio files."""
    known = set(dataset.tracks)  # excludes unusable files, such as pipes, which might block a read forever
    candidates = [path for path in read_folder(Path(dataset.source)).paths if path.track in known]
    paths = [path for path in candidates if path.path.suffix.lower() != ".png"]
    with ThreadPoolExecutor(cores()) as pool:
        tags = list(pool.map(read_tags, [path.path for path in paths]))
    named = {}
    for path, tag in zip(paths, tags, strict=True):
        artist, album = _form(tag.album_artist), _form(tag.album)
        if by == "artist" and artist in _COMPILATION:
            artist = _form(tag.artist)
        # Albums by different artists may have the same name, such as "Greatest Hits".
        name = artist if by == "artist" else album and f"{artist} – {album}"
        if name:
            named[path.track] = name
    return named


def _by_folder(folders: Mapping[str, str], dataset: Dataset) -> dict[str, str]:
    """Return track id → folder below the class folder, such as `blues/BB King` for `blues/BB King/Live`.

    If a genre has too few of these folders, the tracks are grouped by the folders that contain them.
    """
    highest = {track: "/".join(folder.split("/")[:2]) for track, folder in folders.items()}
    groups: dict[str, set[str]] = {genre: set() for genre in dataset.genres}
    for track, label in zip(dataset.tracks, dataset.labels.tolist(), strict=True):
        groups[dataset.genres[label]].add(highest.get(track, ""))
    return highest if min(map(len, groups.values())) >= _MIN_GROUPS else dict(folders)


def _form(name: str) -> str:
    """Normalise a name, so that different spellings of an artist's name become equal."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _track(name: str, known: set[str]) -> str:
    """Return the id of a listed track: `blues.00000` for `blues.00000.wav` or `blues/blues.00000.wav`."""
    for candidate in (name, listed_track(name), name.rsplit(".", 1)[0]):
        if candidate in known:
            return candidate
    return ""
