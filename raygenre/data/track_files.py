"""Find the tracks in a data folder: their files, genres and ids.

Two layouts are supported. The first is the Kaggle copy of GTZAN (`images_original/<genre>/*.png` or
`genres_original/<genre>/*.wav`); the data folder is one of these two folders or up to two levels above it. The second
is any folder of `<class>/` folders that contain spectrogram images or audio at any depth. If both of Kaggle's folders
exist, the images are used, because both contain the same tracks.

A class folder without music is left out. Folders whose names differ only in their Unicode form are one class; see
`raygenre.data.class_names`. `raygenre.data.folder_scan` decides which files are music.

For GTZAN's file names, a track's id is `genre.NNNNN`. For other files, it is the stem or, if that is not unique,
`genre/stem` or the relative path.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from raygenre.data import folder_scan
from raygenre.data.class_names import class_labels
from raygenre.data.folder_scan import FolderScan
from raygenre.errors import RaygenreError, reason_of
from raygenre.system.hashing import sha256_of
from raygenre.system.printable import exact, printable

IMAGES, RECORDINGS = "images_original", "genres_original"
KAGGLE_FOLDERS = (IMAGES, RECORDINGS)
MAX_LISTED = 10  # maximum number of files listed in an error


class DataError(RaygenreError, ValueError):
    """A data folder or a file that describes its tracks is unusable. The message explains why and what to change."""


@dataclass(frozen=True)
class TrackPath:
    """The path of a file that may become a track.

    Attributes:
        path: the file's path.
        genre: name of its class.
        track: id of the track.
        folder: path of the file's folder, relative to the data folder; empty if the file is directly in its class
            folder.
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
        genre: name of its class.
        track: id of the track.
        sha256: hexadecimal SHA-256 of the file's content; empty if it cannot be read.
        error: why the file cannot be read; empty if it can.
    """

    path: Path
    genre: str
    track: str
    sha256: str
    error: str = ""


@dataclass(frozen=True)
class DataFolder:
    """What a data folder contains.

    Attributes:
        paths: the files that may become tracks, sorted by genre and name.
        notes: lines for the user about what is left out and about similar class names.
        unusable: (path, reason) for files and folders that are left out although they may be or contain music.
        left_out: (path, reason) for everything else that is neither music nor clutter.
    """

    paths: tuple[TrackPath, ...]
    notes: tuple[str, ...]
    unusable: tuple[tuple[Path, str], ...]
    left_out: tuple[tuple[Path, str], ...]


def check_folder(source: Path) -> None:
    """Check that a data folder exists.

    Raises:
        DataError: it does not exist.
    """
    if not source.is_dir():
        raise DataError(f"{source} is not a folder; --data requires a folder of <class>/ folders")


def read_folder(source: Path, *, merge_case: bool = False) -> DataFolder:
    """Find the files in a data folder that may become tracks.

    Args:
        merge_case: whether class folders whose names differ only in case are one class.

    Raises:
        DataError: the folder does not exist or cannot be read, or fewer than two classes contain such files.
    """
    check_folder(source)
    root = kaggle_folder(source) or source
    scan = folder_scan.scan(root)
    outside = {path: reason for path in scan.music if (reason := _why_not_in_a_class(path, root))}
    paths = [path for path in scan.music if path not in outside]
    names = [path.relative_to(root).parts[0] for path in paths]
    labels, notes = class_labels(Counter(names), merge_case=merge_case)
    notes += [
        f"the class folder {printable(folder)} contains no spectrogram or audio file and is left out"
        for folder in _class_folders(root, scan)
        if folder.name not in names
    ]
    if outside:
        notes.append(f"left out: {len(outside)} songs that are not in a <class>/ folder (-v lists them)")
    notes += folder_scan.scan_notes(scan.clutter, scan.others)
    if (classes := len(set(labels.values()))) < 2:
        details = [*notes, *(f"{printable(path)}: {reason}" for path, reason in scan.unusable[:MAX_LISTED])]
        raise DataError(
            f"{printable(root)} contains {classes} class folder(s) with spectrograms or audio files; at least two are "
            f"needed, such as {printable(root)}/blues/*.png and {printable(root)}/jazz/*.png"
            + "".join(f"\n  {line}" for line in details)
        )
    tracks = [
        TrackPath(path, labels[name], track, _folder(path, root / name, root))
        for path, name, track in zip(paths, names, _track_ids(names, paths, root), strict=True)
    ]
    tracks.sort(key=lambda track: (track.genre, track.path))
    return DataFolder(tuple(tracks), tuple(notes), scan.unusable, tuple(sorted([*outside.items(), *scan.others])))


def hash_files(paths: Sequence[TrackPath]) -> list[TrackFile]:
    """Return the files with hashes of their contents."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_hash_file, paths))


def listed_track(line: str) -> str:
    """Return the track id in a line of a list: `blues/blues.00029.wav` → `blues.00029`; other lines are already ids."""
    genre, _, name = line.partition("/")
    stem = name.rsplit(".", 1)[0] if name.endswith((".wav", ".au", ".png")) else name
    return stem if stem.startswith(f"{genre}.") else line


def kaggle_folder(source: Path, names: Sequence[str] = KAGGLE_FOLDERS) -> Path | None:
    """Return the folder that contains a Kaggle copy's genre folders, at most two levels below the source."""
    for name in names:
        if source.name == name:
            return source
        for pattern in (name, f"*/{name}", f"*/*/{name}"):
            for folder in sorted(source.glob(pattern)):
                in_clutter = any(map(folder_scan.is_clutter_folder, folder.relative_to(source).parts))
                if folder.is_dir() and not in_clutter:
                    return folder
    return None


def _hash_file(item: TrackPath) -> TrackFile:
    sha256 = error = ""
    try:
        if stat.S_ISREG(item.path.stat().st_mode):
            sha256 = sha256_of(item.path)
        else:
            error = "it is not a regular file"  # reading a device or a pipe may never end
    except OSError as reason:
        error = reason_of(reason)
    return TrackFile(item.path, item.genre, item.track, sha256, error)


def _class_folders(root: Path, scan: FolderScan) -> list[Path]:
    """Return the class folders, including those without music, but not those that the scan has left out."""
    if root in scan.may_be_music:  # it cannot be read
        return []
    left_out = {path for path, _ in scan.left_out}
    return sorted(
        path
        for path in root.iterdir()
        if path.is_dir()
        and not path.name.startswith("_")
        and not folder_scan.is_clutter_folder(path.name)
        and path not in left_out
    )


def _why_not_in_a_class(path: Path, root: Path) -> str:
    """Return why a file is not in a class folder; empty if it is in one."""
    if path.parent == root:
        return "it is not in a <class>/ folder"
    return "the name of its folder begins with _" if path.relative_to(root).parts[0].startswith("_") else ""


def _folder(path: Path, class_folder: Path, root: Path) -> str:
    return "" if path.parent == class_folder else path.parent.relative_to(root).as_posix()


def _track_ids(names: Sequence[str], paths: Sequence[Path], root: Path) -> Iterator[str]:
    """Yield each file's id: `genre.NNNNN` or the stem if unique; otherwise, `genre/stem` if unique, or the path.

    Args:
        names: name of each file's class folder. Ids do not depend on which folders are merged into one class.
        paths: path of each file.
    """
    stems = []
    for name, path in zip(names, paths, strict=True):
        number = re.fullmatch(rf"{re.escape(name)}\.?(\d{{5}})", path.stem)
        stems.append(f"{name}.{number[1]}" if number else path.stem)
    count = Counter(stems)
    count_in_folder = Counter(zip(names, stems, strict=True))
    for name, path, stem in zip(names, paths, stems, strict=True):
        if count[stem] == 1:
            track = stem
        elif count_in_folder[name, stem] == 1:
            track = f"{name}/{stem}"
        else:
            track = path.relative_to(root).as_posix()
        yield exact(track)
