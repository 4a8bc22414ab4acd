"""Read playlists (.m3u, .m3u8), and write their entries.

URLs are skipped, not downloaded. Relative paths are resolved against the playlist's folder. The encoding may be UTF-8
(required for .m3u8), UTF-16 with a byte order mark, or Windows-1252 (common in older .m3u files). Any line ending is
accepted.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote, urlsplit

SUFFIXES = frozenset({".m3u", ".m3u8"})

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # at least two characters, because C: is a drive


@dataclass(frozen=True)
class Playlist:
    """The entries of a playlist.

    Attributes:
        songs: files in playlist order, whether or not they exist.
        skipped: entries that are not files on this machine, each with the reason.
    """

    songs: tuple[Path, ...]
    skipped: tuple[tuple[str, str], ...]


def read(path: Path) -> Playlist:
    """Read a playlist.

    Raises:
        OSError: the playlist cannot be read.
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


def entry(song: Path, folder: Path | None) -> str:
    """Return a song's line for a playlist, in a form that players and `read` understand.

    If the path cannot be written as it is, for example because it contains a line break, the entry is a `file:` URL.

    Args:
        folder: the playlist's folder, with symbolic links resolved, for a relative path; None for an absolute path.
    """
    path = Path(os.path.realpath(song.parent)) / song.name if ".." in song.parts else song.absolute()
    if re.search(r"[\r\n\ud800-\udfff]", str(path)) or path.name != path.name.rstrip():
        return path.as_uri()
    if not folder:
        return str(path)
    relative = os.path.relpath(path, folder)
    # Without `./`, such a line would be read as a comment, lose its first character or be mistaken for a URL.
    return f"./{relative}" if relative.startswith("#") or relative[0].isspace() or _SCHEME.match(relative) else relative


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _song(entry: str, folder: Path) -> Path:
    """Return the path of the file that an entry refers to.

    Raises:
        ValueError: the entry is not a file on this machine.
        OSError: the entry is not a valid file name.
    """
    if "\0" in unquote(entry):
        raise ValueError("not a valid file name")
    # The entry is tried as written, then as a Windows path, then percent-decoded; the first existing file is used.
    candidates = [folder / entry, folder / PureWindowsPath(entry).as_posix(), folder / unquote(entry)]
    if existing := [path for path in candidates if path.exists()]:
        return existing[0]
    if not _SCHEME.match(entry):
        return candidates[0]
    url = urlsplit(entry)
    if url.scheme.lower() != "file":
        raise ValueError("a URL; raygenre reads local files only, so download it first")
    if url.netloc.lower() not in ("", "localhost"):
        raise ValueError(f"a file on another machine, {url.netloc}; copy it to this one")
    path = re.sub("^file:(//[^/]*)?", "", entry, flags=re.IGNORECASE)
    return folder / unquote(path, errors="surrogateescape")  # file names need not be UTF-8
