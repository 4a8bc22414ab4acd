"""Read the tags of an audio file, such as its artist and genres.

mutagen reads all values of a tag, translates the genre numbers of ID3 and MP4, and returns ID3, APE and ASF tags under
their native names. FFmpeg supplies the tags that mutagen does not find, such as those in Matroska files and in the INFO
list of WAV files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import av
import mutagen
from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.id3 import ID3
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4Tags

from raygenre.audio.file_type import CONTAINERS

_Values = dict[str, tuple[str, ...]]
"""Field of `Tags` → its values; if the file lacks a tag, the field is missing or has no values."""

_ID3 = {"artist": "TPE1", "album": "TALB", "title": "TIT2", "genres": "TCON", "album_artist": "TPE2"}
_MP4 = {"artist": "\xa9ART", "album": "\xa9alb", "title": "\xa9nam", "genres": "\xa9gen", "album_artist": "aART"}
_ASF = {"artist": "Author", "album": "WM/AlbumTitle", "title": "Title", "genres": "WM/Genre",
        "album_artist": "WM/AlbumArtist"}  # fmt: skip
# Vorbis comments and APE tags have no fixed names; these are the common ones, in lower case.
_OTHER = {"artist": ("artist",), "album": ("album",), "title": ("title",), "genres": ("genre",),
          "album_artist": ("album_artist", "albumartist", "album artist")}  # fmt: skip


@dataclass(frozen=True)
class Tags:
    """The tags of a song; a missing tag is empty.

    Attributes:
        artist: artist of the song or, if that is missing, of the album.
        album: title of the album.
        title: title of the song.
        genres: all genres that the file lists.
        album_artist: artist of the album or, if that is missing, of the song.
    """

    artist: str = ""
    album: str = ""
    title: str = ""
    genres: tuple[str, ...] = ()
    album_artist: str = ""


def read_tags(path: Path) -> Tags:
    """Return the tags of an audio file; all are empty if the file cannot be read or has none."""
    values = _from_mutagen(path)
    if not all(values.get(field.name) for field in fields(Tags) if field.name != "album_artist"):
        values = _from_ffmpeg(path) | {name: texts for name, texts in values.items() if texts}
    first = {name: next(iter(texts), "") for name, texts in values.items()}
    artist, album_artist = first.get("artist", ""), first.get("album_artist", "")
    return Tags(
        artist=artist or album_artist,
        album=first.get("album", ""),
        title=first.get("title", ""),
        genres=tuple(dict.fromkeys(values.get("genres", ()))),
        album_artist=album_artist or artist,
    )


def _from_mutagen(path: Path) -> _Values:
    try:
        file = mutagen.File(path)
        tags = file.tags if file is not None else None
        if tags is None and isinstance(file, MP3):
            tags = APEv2(path)  # some programs write APE tags to MP3 files, where mutagen does not expect them
    except Exception:  # noqa: BLE001 (mutagen raises many types of errors for damaged files)
        return {}
    if isinstance(tags, ID3):
        frames = {name: tags.get(frame) for name, frame in _ID3.items()}
        return {
            name: _cleaned(frame.genres if name == "genres" else frame.text) for name, frame in frames.items() if frame
        }
    if isinstance(tags, MP4Tags | ASFTags):
        names = _MP4 if isinstance(tags, MP4Tags) else _ASF
        return {name: _cleaned(tags[key]) for name, key in names.items() if key in tags}
    return _named({key.lower(): tags[key] for key in tags.keys()} if tags else {})  # noqa: SIM118 (not a dictionary)


def _from_ffmpeg(path: Path) -> _Values:
    try:
        file = path.absolute()  # FFmpeg would interpret the relative path `AC:DC.mka` as a URL
        with av.open(file, mode="r", options={"format_whitelist": CONTAINERS}, metadata_errors="ignore") as container:
            # Ogg stores tags in the stream; all other formats store them in the container.
            stored = [dict(container.metadata), *(dict(stream.metadata) for stream in container.streams.audio)]
    except (av.error.FFmpegError, OSError, ValueError):
        return {}
    lower = {name.lower(): [text] for tags in reversed(stored) for name, text in tags.items() if text.strip()}
    # If several comments have the same name, FFmpeg joins their values with semicolons.
    return _named(lower | {"genre": [part for text in lower.get("genre", ()) for part in text.split(";")]})


def _named(lower: Mapping[str, Iterable[object]]) -> _Values:
    """Return the values of tags without fixed names; `lower` maps lower-case names to values."""
    return {
        name: _cleaned(next((lower[candidate] for candidate in candidates if candidate in lower), ()))
        for name, candidates in _OTHER.items()
    }


def _cleaned(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(text for value in values if (text := str(value).strip()))
