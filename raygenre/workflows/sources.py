"""Find the songs that a command names: files, folders of songs, and playlists."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raygenre.data import playlist
from raygenre.data.folder_scan import scan
from raygenre.system.printable import printable


@dataclass(frozen=True)
class Sources:
    """The files to predict.

    Attributes:
        songs: the files, without duplicates.
        skipped: (entry, reason) for each playlist entry that is not a file on this machine.
        failed: (source, reason) for each folder without songs, each playlist that cannot be read or does not name any
            file, and each unreadable file or folder that may be or contain music.
        root: absolute path of the deepest folder that contains all sources; see `relative_name`.
        clutter: number of ignored files or folders for each kind of clutter; see `FolderScan`.
        left_out: (path, reason) for each other file in the folders that is not music.
    """

    songs: tuple[Path, ...]
    skipped: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]
    root: Path
    clutter: Counter[str]
    left_out: tuple[tuple[Path, str], ...]


def expand_sources(sources: Sequence[Path]) -> Sources:
    """Expand folders and playlists into songs, in the given order and without repeating a file.

    A folder is replaced by the sorted music files at any depth in the folder. `raygenre.data.folder_scan` decides what
    counts as music, and ignores playlists. A file that is named directly counts as a song, regardless of its suffix.
    """
    songs: dict[str, Path] = {}
    skipped: list[tuple[str, str]] = []
    failed: list[tuple[str, str]] = []
    clutter = Counter[str]()
    left_out: dict[Path, str] = {}
    for source in sources:
        files = [source]
        if source.is_dir():
            found = scan(source)
            files = list(found.music)
            clutter += found.clutter
            left_out |= dict(found.others)
            failed += [(printable(path), reason) for path, reason in found.unusable]
            if not files and not found.unusable:
                failed.append((printable(source), "the folder contains no audio file"))
        elif source.suffix.lower() in playlist.SUFFIXES:
            try:
                entries = playlist.read(source)
            except OSError as error:
                failed.append((printable(source), error.strerror or str(error)))
                continue
            files = list(entries.songs)
            skipped += [(f"{printable(source)}: {entry}", reason) for entry, reason in entries.skipped]
            if not files:
                failed.append((printable(source), "the playlist names no file on this machine"))
        for song in files:
            songs.setdefault(os.path.realpath(song), song)
    folders = [(source if source.is_dir() else source.parent).absolute() for source in sources]
    return Sources(
        songs=tuple(songs.values()),
        skipped=tuple(skipped),
        failed=tuple(failed),
        root=Path(os.path.commonpath(folders)),
        clutter=clutter,
        left_out=tuple(left_out.items()),
    )


def relative_name(song: Path, root: Path) -> str:
    """Return a song's path relative to the root of its sources, for display; absolute if it is not below the root.

    No two songs share a name, and the names are as short as the sources allow: the file's name if all sources are files
    in one folder, and the path below the folder if the only source is a folder.
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
