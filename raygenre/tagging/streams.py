"""FFmpeg's view of a file's container, streams and genre, independent of mutagen."""

import errno
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import av

from raygenre.audio.errors import AudioError
from raygenre.audio.failure import failure_reason, no_track_reason
from raygenre.audio.file_type import CONTAINERS, HEAD_BYTES, identify_audio
from raygenre.errors import reason_of
from raygenre.system.regular_file import check_regular
from raygenre.tagging.formats.base import TagError

_CONTAINERS = {
    # FFmpeg's name for each container that can hold tags → the name used here.
    "aiff": "aiff", "ape": "ape", "asf": "asf", "flac": "flac", "mov,mp4,m4a,3gp,3g2,mj2": "mp4", "mp3": "mp3",
    "mpc": "ape", "mpc8": "ape", "ogg": "ogg", "tak": "ape", "tta": "tta", "wav": "wav", "wv": "ape",
}  # fmt: skip


@dataclass(frozen=True)
class View:
    """What FFmpeg finds in a file.

    Attributes:
        kind: the container; for Ogg, with the codec, such as `ogg/opus`.
        genre: the genre that FFmpeg reads; empty if there is none.
    """

    kind: str
    genre: str


def view(path: Path) -> View:
    """Return what FFmpeg finds in an audio file, regardless of the file's name.

    Raises:
        OSError: the file cannot be read.
        TagError: the file is not a regular file, is not audio, or has a format whose tags raygenre cannot write.
    """
    with _opened(path) as container:
        name = container.format.name
        if name not in _CONTAINERS:
            unsupported = container.format.long_name
            raise TagError(f"raygenre cannot write tags to {unsupported} files; convert the file to FLAC or M4A")
        kind = _CONTAINERS[name]
        if kind == "ogg":
            kind = f"ogg/{container.streams.audio[0].codec_context.name.removeprefix('lib')}"
        stored = [container.metadata, *(stream.metadata for stream in container.streams.audio)]
        genres = [value for tags in stored for key, value in tags.items() if key.lower() == "genre" and value.strip()]
        return View(kind, genres[0] if genres else "")


def stream_digest(path: Path) -> str:
    """Return the SHA-256 of all packets in a file (audio and cover), including their stream numbers and times.

    Raises:
        OSError: the file cannot be read.
        TagError: the file is not a regular file, or is not audio.
    """
    digest = hashlib.sha256()
    with _opened(path) as container:
        try:
            for packet in container.demux():
                digest.update(f"{packet.stream_index} {packet.pts} {packet.size} ".encode())
                digest.update(bytes(packet))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise TagError(
                f"its audio cannot be read to the end, so it cannot be compared: {_reason(error)}"
            ) from error
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a file that has an audio track; for other files, raise an error with the reason from `raygenre.audio`."""
    check_regular(path, TagError)
    with ExitStack() as opened:
        file = opened.enter_context(path.open("rb"))
        head = file.read(HEAD_BYTES)
        try:
            found = identify_audio(head)
        except AudioError as error:
            raise TagError(str(error)) from error
        try:
            # The path is passed instead of a Python file, because PyAV prints a traceback if a damaged file makes
            # FFmpeg seek to a position before its start. The path is absolute because FFmpeg would interpret
            # `AC:DC.mp3` as a URL.
            container = av.open(
                path.absolute(), mode="r", options={"format_whitelist": CONTAINERS}, metadata_errors="ignore"
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if found.start:  # the decoder skips bytes before the header
                raise TagError(
                    f"{found.start} bytes precede the header of the {found.name} file; convert it to FLAC"
                ) from error
            raise TagError(failure_reason(file, found.name, error)) from error
        opened.enter_context(container)
        if not container.streams.audio:
            raise TagError(no_track_reason(file, found.name))
        yield container


def _reason(error: Exception) -> str:
    if getattr(error, "errno", None) == errno.EINVAL:  # a damaged file made FFmpeg seek to an offset that cannot exist
        return "it is damaged"
    return reason_of(error)
