"""Read the tags of an audio file, such as its artist."""

from dataclasses import dataclass
from pathlib import Path

import av

from raygenre.audio.file_type import CONTAINERS


@dataclass(frozen=True)
class Tags:
    """The tags of a song; a missing tag is empty.

    Attributes:
        artist: artist of the album if the file names one, or else of the song.
        album: title of the album.
    """

    artist: str = ""
    album: str = ""


def read_tags(path: Path) -> Tags:
    """Return the tags of an audio file; all are empty if the file cannot be read or has none."""
    try:
        with av.open(path, mode="r", options={"format_whitelist": CONTAINERS}, metadata_errors="ignore") as container:
            # Ogg stores tags in the stream; all other formats store them in the container.
            stored = [dict(container.metadata), *(dict(stream.metadata) for stream in container.streams.audio)]
    except (av.error.FFmpegError, OSError, ValueError):
        return Tags()
    values = {name.lower(): value.strip() for tags in reversed(stored) for name, value in tags.items() if value.strip()}
    artist = values.get("album_artist") or values.get("albumartist") or values.get("artist", "")
    return Tags(artist=artist, album=values.get("album", ""))
