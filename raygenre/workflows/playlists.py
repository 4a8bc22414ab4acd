"""Write one playlist for each predicted genre.

The folder contains one M3U8 file per genre that has songs, and `uncertain.m3u8` with the songs whose predictions are
uncertain. Paths are relative if the playlists are in or above the folder of the songs, so that both can be moved or
copied together; otherwise, they are absolute. Images and failed songs are left out.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from raygenre.data import playlist
from raygenre.errors import RaygenreError
from raygenre.system.atomic_write import write_atomically
from raygenre.workflows.predict import SongResult

_UNCERTAIN = "uncertain"
_SUFFIX = ".m3u8"
_MARK = "# Written by raygenre predict, which replaces this file when it writes playlists to this folder again."
_MAX_NAME = 200  # maximum length of a name in bytes of UTF-8; file systems allow 255
# Characters that are invisible, or not allowed in file names on Windows.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u2028-\u202e\u2066-\u2069\ud800-\udfff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows


class PlaylistError(RaygenreError, ValueError):
    """A playlist would overwrite one of the user's files."""


def check_playlists(folder: Path, genres: Sequence[str]) -> None:
    """Check that no playlist would replace a file that raygenre did not write.

    Raises:
        PlaylistError: a playlist would replace such a file, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise PlaylistError(f"{folder} is a file; --playlists requires a folder")
    for path in _targets(folder, genres).values():
        if path.exists() and not _is_ours(path):
            raise PlaylistError(
                f"{path} was not written by raygenre and would be replaced; rename it, or choose another folder for "
                "--playlists"
            )


def write_playlists(
    folder: Path, results: Sequence[SongResult], genres: Sequence[str], root: Path
) -> list[tuple[Path, int]]:
    """Write the playlists, delete earlier ones that now have no songs, and return each path with its song count.

    Args:
        folder: folder of the playlists; created if missing.
        genres: the genres of the classifier.
        root: the deepest folder that contains all sources; see `Sources`.

    Raises:
        OSError: a playlist cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    where = folder.resolve()  # because `..` in a relative path leads elsewhere after a link
    base = where if root != Path(root.anchor) and _are_nested(where, root.resolve()) else None
    songs: dict[str | None, list[Path]] = {}
    for result in results:
        if result.prediction and result.times:  # an image has no times
            songs.setdefault(None if result.prediction.uncertain else result.prediction.genre, []).append(result.path)
    targets = _targets(folder, genres)
    written = []
    for genre, path in targets.items():
        if genre in songs:
            paths = [_below(song, root) for song in songs[genre]] if base else songs[genre]
            lines = ["#EXTM3U", _MARK, *(playlist.entry(path, base) for path in paths)]
            write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
            written.append((path, len(songs[genre])))
    for path in folder.glob(f"*{_SUFFIX}"):
        if path not in dict(written) and _is_ours(path):
            path.unlink(missing_ok=True)
    return written


def _targets(folder: Path, genres: Iterable[str]) -> dict[str | None, Path]:
    """Return the path of each genre's playlist; the key None has the path for uncertain songs."""
    targets: dict[str | None, Path] = {None: folder / f"{_UNCERTAIN}{_SUFFIX}"}
    used = {_UNCERTAIN}
    for genre in genres:
        name = _file_name(genre)
        number = 1
        while (unique := name if number == 1 else f"{name} ({number})").casefold() in used:
            number += 1
        used.add(unique.casefold())  # many file systems ignore case
        targets[genre] = folder / f"{unique}{_SUFFIX}"
    return targets


def _file_name(genre: str) -> str:
    """Return a file name for a genre, without a suffix, that every file system accepts."""
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", genre)).strip(" .")
    name = name.encode()[:_MAX_NAME].decode(errors="ignore").strip(" .")
    return f"{name}_" if not name or _RESERVED.fullmatch(name) else name


def _below(song: Path, root: Path) -> Path:
    """Return a song's path with the links in `root` resolved, as in the playlists' own paths.

    Links below the root are kept, because they are moved or copied together with the root.
    """
    path = song.absolute()
    return root.resolve() / path.relative_to(root) if path.is_relative_to(root) else song


def _are_nested(first: Path, second: Path) -> bool:
    return first.is_relative_to(second) or second.is_relative_to(first)


def _is_ours(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return _MARK.encode() in file.read(len(_MARK.encode()) + 20)
    return False
