"""Playlists (.m3u, .m3u8): the files that they name. Nothing is ever fetched.

Relative entries are relative to the playlist. Files are UTF-8 as .m3u8 must be, or in Windows' Western encoding as
older .m3u are; a byte order mark and any line ends are fine.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote, urlsplit

SUFFIXES = frozenset({".m3u", ".m3u8"})

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # two characters at least: C: is a drive


@dataclass(frozen=True)
class Playlist:
    """What a playlist names.

    Attributes:
        songs: files in its order, whether they are there or not.
        skipped: entries that are no files of this machine, with the reason.
    """

    songs: tuple[Path, ...]
    skipped: tuple[tuple[str, str], ...]


def read(path: Path) -> Playlist:
    """Read a playlist.

    Raises:
        OSError: it cannot be read.
    """
    songs: list[Path] = []
    skipped: list[tuple[str, str]] = []
    for line in re.split(r"[\r\n]+", _text(path.read_bytes())):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        try:
            songs.append(_song(entry, path.parent))
        except (ValueError, OSError) as error:
            skipped.append((entry, str(error)))
    return Playlist(tuple(songs), tuple(skipped))


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _song(entry: str, folder: Path) -> Path:
    """The file that an entry names.

    Raises:
        ValueError: the entry is the address of something else.
        OSError: no file can have such a name.
    """
    if "\0" in unquote(entry):
        raise ValueError("it is not the name of a file")
    # The first reading that is a file: as it stands, as Windows writes paths, percent-encoded.
    readings = [folder / entry, folder / PureWindowsPath(entry).as_posix(), folder / unquote(entry)]
    if there := [path for path in readings if path.exists()]:
        return there[0]
    if not _SCHEME.match(entry):
        return readings[0]
    address = urlsplit(entry)
    if address.scheme.lower() != "file":
        raise ValueError("it is an address, and raygenre fetches nothing")
    if address.netloc.lower() not in ("", "localhost"):
        raise ValueError(f"it is a file of another machine, {address.netloc}")
    return folder / unquote(re.sub("^file:(//[^/]*)?", "", entry, flags=re.IGNORECASE))
