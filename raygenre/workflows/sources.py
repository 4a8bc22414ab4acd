"""Find the songs that a command names: files, folders of songs, and playlists."""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raygenre import audio
from raygenre.data import playlist, track_files
from raygenre.system.printable import printable


@dataclass(frozen=True)
class Sources:
    """The files to predict.

    Attributes:
        songs: the files, without duplicates.
        skipped: (entry, reason) for each playlist entry that is not a file on this machine.
        failed: (source, reason) for each folder without songs and each playlist that cannot be read.
        root: the deepest folder that contains all sources, absolute; see `relative_name`.
    """

    songs: tuple[Path, ...]
    skipped: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]
    root: Path


def expand_sources(sources: Sequence[Path]) -> Sources:
    """Expand folders and playlists into songs, in the given order and without repeating a file.

    A folder is replaced by the audio files and dataset-style images at any depth in it, sorted. Hidden files, other
    images such as covers, and playlists in it are ignored. A file named directly counts as a song whatever its suffix.
    """
    songs: dict[str, Path] = {}
    skipped: list[tuple[str, str]] = []
    failed: list[tuple[str, str]] = []
    for source in sources:
        files = [source]
        if source.is_dir():
            files = _songs_in(source)
            if not files:
                failed.append((printable(source), "the folder contains no audio file"))
        elif source.suffix.lower() in playlist.SUFFIXES:
            try:
                entries = playlist.read(source)
            except OSError as error:
                failed.append((printable(source), error.strerror or str(error)))
                continue
            files = list(entries.songs)
            skipped += [(f"{printable(source)}: {entry}", reason) for entry, reason in entries.skipped]
        for song in files:
            songs.setdefault(os.path.realpath(song), song)
    folders = [(source if source.is_dir() else source.parent).absolute() for source in sources]
    return Sources(tuple(songs.values()), tuple(skipped), tuple(failed), Path(os.path.commonpath(folders)))


def relative_name(song: Path, root: Path) -> str:
    """Return a song's path relative to the root of its sources, for display; absolute if it is not below the root.

    Two songs have different names, and the names are as short as the sources allow: the file's name if all sources are
    files of one folder, and the path below the folder if the only source is a folder.
    """
    path = song.absolute()  # not resolved, so that links keep the names that the user knows
    is_below = root != Path(root.anchor) and path.is_relative_to(root)
    return printable(path.relative_to(root) if is_below else path)


def missing_songs(songs: Sequence[Path]) -> list[tuple[str, str]]:
    """Return (file, reason) for each song that does not exist or is in a folder that cannot be read."""
    missing = []
    for song in songs:
        try:
            song.stat()
        except (OSError, ValueError) as error:
            missing.append((printable(song), getattr(error, "strerror", None) or str(error)))
    return missing


def _songs_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if (path.suffix.lower() in audio.SUFFIXES or (path.suffix.lower() == ".png" and _is_spectrogram(path)))
        and not track_files.is_hidden(path.relative_to(folder))
        and path.is_file()
    )


def _is_spectrogram(path: Path) -> bool:
    """Return whether a PNG has the size of the dataset's images."""
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError:
        return False
    from raygenre import spectrogram

    size = struct.pack(">II", spectrogram.WIDTH, spectrogram.HEIGHT)
    return head.startswith(spectrogram.PNG_SIGNATURE) and head[16:] == size
