"""Open the tags of an audio file, whose format is determined from its content."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raygenre.tagging import streams
from raygenre.tagging.formats.ape import ApeTags
from raygenre.tagging.formats.asf import AsfTags
from raygenre.tagging.formats.base import FileTags, TagError, mutagen_errors
from raygenre.tagging.formats.id3 import Id3Tags
from raygenre.tagging.formats.mp4 import Mp4Tags
from raygenre.tagging.formats.vorbis import CLASSES, VorbisTags


@dataclass(frozen=True)
class Present:
    """The genre stored in a file.

    Attributes:
        genres: the file's genres; empty if it has none.
        is_elsewhere: whether the genre is stored in a place where raygenre does not write, such as a WAV file's INFO
            chunk.
        provenance: the texts of the file's provenance fields.
    """

    genres: tuple[str, ...]
    is_elsewhere: bool
    provenance: Mapping[str, str] = field(default_factory=dict)


def present_genre(path: Path) -> Present:
    """Return the genre of an audio file.

    Raises:
        OSError: the file cannot be read.
        TagError: raygenre cannot write tags in the file's format, or its tags are damaged.
    """
    view = streams.view(path)
    tags = _open(path, view.kind)
    genres = tags.genres
    if not genres and view.genre:
        return Present((view.genre,), is_elsewhere=True)
    return Present(genres, is_elsewhere=False, provenance=tags.provenance)


def open_tags(path: Path) -> FileTags:
    """Return the tags of an audio file.

    Raises:
        OSError: the file cannot be read.
        TagError: raygenre cannot write tags in the file's format, or its tags are damaged.
    """
    return _open(path, streams.view(path).kind)


def _open(path: Path, kind: str) -> FileTags:
    with mutagen_errors("its tags are damaged"):
        match kind:
            case "mp3" | "tta" | "wav" | "aiff":
                return Id3Tags(path, kind)
            case "mp4":
                return Mp4Tags(path)
            case "ape":
                return ApeTags(path)
            case "asf":
                return AsfTags(path)
            case _ if kind in CLASSES:
                return VorbisTags(path, kind)
    raise TagError(
        f"raygenre cannot write tags to Ogg files with {kind.removeprefix('ogg/')}; convert the file to FLAC"
    )
