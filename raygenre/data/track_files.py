"""Which files of a data folder are tracks, of which genre, and by which id.

Layouts: the Kaggle copy of GTZAN (`images_original/<genre>/*.png` or `genres_original/<genre>/*.wav`, the folder
given or up to two folders above it), or any folder of `<class>/` folders that hold dataset-style PNGs or audio at
any depth. Where both of Kaggle's folders are there, the images are taken: they are the same tracks.

A track's id is `genre.NNNNN` for GTZAN's file names, the file's stem elsewhere, with as much of the path as makes it
unique.
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
    """A data folder cannot be used; the message names the place and the remedy."""


@dataclass(frozen=True)
class TrackFile:
    """A file that may become a track."""

    path: Path
    genre: str
    track: str
    sha256: str


def find_tracks(source: Path) -> list[TrackFile]:
    """List the files that may become tracks, by genre and name.

    Raises:
        DataError: no folder, an empty class, or fewer than two classes.
    """
    if not source.is_dir():
        raise DataError(f"{source} is not a folder; --data takes a folder of <class>/ folders")
    root = kaggle_folder(source) or source
    suffixes = audio.SUFFIXES | {".png"}
    found: list[tuple[str, Path]] = []
    genres = sorted(child.name for child in root.iterdir() if child.is_dir() and child.name[0] not in "._")
    for genre in genres:
        files = sorted(
            path
            for path in (root / genre).rglob("*")
            if path.suffix.lower() in suffixes and not hidden(path.relative_to(root)) and path.is_file()
        )
        if not files:
            raise DataError(f"the class folder {root / genre} holds no PNG or audio file; fill it or take it away")
        found += [(genre, path) for path in files]
    if len(genres) < 2:
        raise DataError(
            f"{root} holds {len(genres)} class folder(s); at least two are needed, such as "
            f"{root}/blues/*.png and {root}/jazz/*.png"
        )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        hashes = pool.map(lambda item: sha256_of(item[1]), found)
    return [
        TrackFile(path, genre, track, sha256)
        for (genre, path), track, sha256 in zip(found, _track_ids(found, root), hashes, strict=True)
    ]


def listed_track(line: str) -> str:
    """The id of a track as lists name it: `blues/blues.00029.wav` → `blues.00029`; any other line is an id."""
    genre, _, name = line.partition("/")
    stem = name.rsplit(".", 1)[0] if name.endswith((".wav", ".au", ".png")) else name
    return stem if stem.startswith(f"{genre}.") else line


def hidden(path: Path) -> bool:
    """Whether a file, or a folder on the way to it, has a name that begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def kaggle_folder(source: Path, names: Sequence[str] = KAGGLE_FOLDERS) -> Path | None:
    """The folder that holds the genre folders of an unpacked Kaggle copy, at most two folders down."""
    for name in names:
        if source.name == name:
            return source
        for pattern in (name, f"*/{name}", f"*/*/{name}"):
            for folder in sorted(source.glob(pattern)):
                if folder.is_dir():
                    return folder
    return None


def _track_ids(found: Sequence[tuple[str, Path]], root: Path) -> Iterator[str]:
    """An id for each file: `genre.NNNNN`, else its stem, else with as much of its path as makes it unique."""
    stems = []
    for genre, path in found:
        number = re.fullmatch(rf"{re.escape(genre)}\.?(\d{{5}})", path.stem)
        stems.append(f"{genre}.{number[1]}" if number else path.stem)
    seen = Counter(stems)
    within = Counter((genre, stem) for (genre, _), stem in zip(found, stems, strict=True))
    for (genre, path), stem in zip(found, stems, strict=True):
        if seen[stem] == 1:
            yield stem
        elif within[genre, stem] == 1:
            yield f"{genre}/{stem}"
        else:
            yield path.relative_to(root).as_posix()
