"""Creates small songs in the formats that raygenre can tag, and reads their tags with FFmpeg."""

from functools import cache
from pathlib import Path

import av

from tests.helpers.sounds import encode, tone

FORMATS = {
    # Suffix: FFmpeg's names for the container and the encoder, sample rate in Hz.
    ".mp3": ("mp3", "libmp3lame", 44_100),
    ".flac": ("flac", "flac", 44_100),
    ".m4a": ("ipod", "aac", 44_100),
    ".ogg": ("ogg", "libvorbis", 44_100),
    ".opus": ("ogg", "libopus", 48_000),
    ".wma": ("asf", "wmav2", 44_100),
    ".wav": ("wav", "pcm_s16le", 22_050),
    ".aiff": ("aiff", "pcm_s16be", 22_050),
    ".wv": ("wv", "wavpack", 44_100),
    ".tta": ("tta", "tta", 44_100),
}


@cache
def song(suffix: str, seconds: float = 0.5) -> bytes:
    """Return the bytes of an untagged song."""
    container, codec, rate = FORMATS[suffix]
    return encode(tone(440, seconds=seconds, rate=rate), container, codec, rate=rate)


def new_song(path: Path, *, seconds: float = 0.5) -> Path:
    """Write an untagged song in the format given by the path's suffix."""
    path.write_bytes(song(path.suffix, seconds))
    return path


def ffmpeg_tags(path: Path) -> dict[str, str]:
    """Return the tags that FFmpeg reads, by lower-case name."""
    with av.open(path) as container:
        stored = [container.metadata, *(stream.metadata for stream in container.streams.audio)]
    return {name.lower(): text for tags in stored for name, text in tags.items()}
