"""Detects a file's type from its first bytes; its name and content type are ignored."""

from typing import Literal

from raygenre.spectrogram.image import PNG_SIGNATURE
from serve.errors import RefusalError

Kind = Literal["png", "audio"]

# Offset and signature of each container in raygenre.audio.CONTAINERS.
_AUDIO = (
    (0, b"ID3"),  # MP3 and AAC with a tag before the audio
    (0, b"fLaC"),
    (0, b"OggS"),  # Vorbis, Opus, FLAC
    (0, b".snd"),  # AU
    (0, b"\x1aE\xdf\xa3"),  # Matroska, WebM
    (0, bytes.fromhex("3026b2758e66cf11")),  # ASF, the container of WMA
    (8, b"WAVE"),
    (8, b"AIFF"),
    (8, b"AIFC"),
    (4, b"ftyp"),  # MP4, M4A, QuickTime
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
    (4, b"free"),
    (4, b"skip"),
)
_PADDING = 4096  # maximum number of zero bytes that some encoders write before the first MP3 frame


def sniff(data: bytes) -> Kind:
    """Return a file's type.

    Raises:
        RefusalError: 422 if the file is empty, 415 if it is neither a PNG nor an audio container.
    """
    if not data:
        raise RefusalError(422, "the file is empty")
    if data.startswith(PNG_SIGNATURE):
        return "png"
    head = data[:_PADDING].lstrip(b"\0") or data[_PADDING : _PADDING + 16]
    if any(data[offset : offset + len(magic)] == magic for offset, magic in _AUDIO) or _is_frame(head):
        return "audio"
    raise RefusalError(
        415,
        "the file is neither a PNG nor audio; supported: WAV, FLAC, MP3, OGG, Opus, M4A, AAC, WMA, WebM, AIFF and AU",
    )


def _is_frame(head: bytes) -> bool:
    """Whether the data starts with an MPEG audio or ADTS frame: eleven set bits, then a valid version and layer."""
    if len(head) < 2 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and (layer != 0 or head[1] & 0xF0 == 0xF0)
