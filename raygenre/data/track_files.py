"""Find the tracks in a data folder: their files, genres and ids.

Two layouts are supported: the Kaggle copy of GTZAN (`images_original/<genre>/*.png` or `genres_original/<genre>/*.wav`;
the data folder is one of these folders or up to two levels above it), and any folder of `<class>/` folders that contain
spectrogram images or audio at any depth. If both of Kaggle's folders exist, the images are used, because both contain
the same tracks.

For GTZAN's file names, a track's id is `genre.NNNNN`. For other files it is the stem or, if that is not unique,
`genre/stem` or the relative path.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from raygenre import audio
from raygenre.errors import RaygenreError
from raygenre.system.hashing import sha256_of

IMAGES, RECORDINGS = "images_original", "genres_original"
KAGGLE_FOLDERS = (IMAGES, RECORDINGS)


class DataError(RaygenreError, ValueError):
    """A data folder or a file that describes its tracks is not usable. The message says why and what to change."""


@dataclass(frozen=True)
class TrackPath:
    """The path of a file that may become a track.

    Attributes:
        path: the file's path.
        genre: name of its class folder.
        track: id of the track.
        folder: path of the file's folder, relative to the data folder; empty if that is the class folder.
    """

    path: Path
    genre: str
    track: str
    folder: str


@dataclass(frozen=True)
class TrackFile:
    """A file that may become a track.

    Attributes:
        path: the file's path.
        genre: name of its class folder.
        track: id of the track.
        sha256: hexadecimal SHA-256 of the file's content.
    """

    path: Path
    genre: str
    track: str
    sha256: str


def check_folder(source: Path) -> None:
    """Check that a data folder exists.

    Raises:
        DataError: it does not exist.
    """
    if not source.is_dir():
        raise DataError(f"{source} is not a folder; --data takes a folder of <class>/ folders")


def find_tracks(source: Path) -> list[TrackFile]:
    """List the files that may become tracks, with hashes of their contents, sorted by genre and name.

    Raises:
        DataError: the folder does not exist, a class is empty, or there are fewer than two classes.
    """
    paths = find_paths(source)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        hashes = pool.map(lambda item: sha256_of(item.path), paths)
    return [TrackFile(item.path, item.genre, item.track, sha256) for item, sha256 in zip(paths, hashes, strict=True)]


def find_paths(source: Path) -> list[TrackPath]:
    """List the files that may become tracks, sorted by genre and name.

    Raises:
        DataError: the folder does not exist, a class is empty, or there are fewer than two classes.
    """
    check_folder(source)
    root = kaggle_folder(source) or source
    suffixes = audio.SUFFIXES | {".png"}
    paths: list[tuple[str, Path]] = []  # (genre, path)
    genres = sorted(child.name for child in root.iterdir() if child.is_dir() and child.name[0] not in "._")
    for genre in genres:
        files = sorted(
            path
            for path in (root / genre).rglob("*")
            if path.suffix.lower() in suffixes and not is_hidden(path.relative_to(root)) and path.is_file()
        )
        if not files:
            raise DataError(
                f"the class folder {root / genre} contains no PNG or audio file; add files or remove the folder"
            )
        paths += [(genre, path) for path in files]
    if len(genres) < 2:
        raise DataError(
            f"{root} contains {len(genres)} class folder(s); at least two are needed, such as "
            f"{root}/blues/*.png and {root}/jazz/*.png"
        )
    return [
        TrackPath(path, genre, track, _folder(path, root / genre, root))
        for (genre, path), track in zip(paths, _track_ids(paths, root), strict=True)
    ]


def listed_track(line: str) -> str:
    """Return the track id on a line of a list: `blues/blues.00029.wav` → `blues.00029`; other lines are already ids."""
    genre, _, name = line.partition("/")
    stem = name.rsplit(".", 1)[0] if name.endswith((".wav", ".au", ".png")) else name
    return stem if stem.startswith(f"{genre}.") else line


def is_hidden(path: Path) -> bool:
    """Return whether any component of a path begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def kaggle_folder(source: Path, names: Sequence[str] = KAGGLE_FOLDERS) -> Path | None:
    """Return the folder of a Kaggle copy that contains the genre folders: the source, or up to two levels below it."""
    for name in names:
        if source.name == name:
            return source
        for pattern in (name, f"*/{name}", f"*/*/{name}"):
            for folder in sorted(source.glob(pattern)):
                if folder.is_dir():
                    return folder
    return None


def _folder(path: Path, class_folder: Path, root: Path) -> str:
    return "" if path.parent == class_folder else path.parent.relative_to(root).as_posix()


def _track_ids(paths: Sequence[tuple[str, Path]], root: Path) -> Iterator[str]:
    """Yield each file's id: the first unique name among `genre.NNNNN` or its stem, `genre/stem`, and its path."""
    stems = []
    for genre, path in paths:
        number = re.fullmatch(rf"{re.escape(genre)}\.?(\d{{5}})", path.stem)
        stems.append(f"{genre}.{number[1]}" if number else path.stem)
    count = Counter(stems)
    count_in_genre = Counter((genre, stem) for (genre, _), stem in zip(paths, stems, strict=True))
    for (genre, path), stem in zip(paths, stems, strict=True):
        if count[stem] == 1:
            yield stem
        elif count_in_genre[genre, stem] == 1:
            yield f"{genre}/{stem}"
        else:
            yield path.relative_to(root).as_posix()
