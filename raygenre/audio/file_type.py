"""The supported audio formats, and the detection of a file's type from its content.

The commands and the endpoint determine a file's type from its first bytes, never from its name or content type.
Suffixes are used only to select files in a folder.

FFmpeg may use only the demuxers listed here. None of them opens another file or a socket. Playlists (hls, concat,
dash), session descriptions (sdp, rtsp) and image sequences are excluded. By default, FFmpeg does not follow references
from QuickTime files to other files, and the AVI demuxer opens only subtitles within the file. Formats in which further
tracks may appear while the file is being read (MPEG transport and program streams, FLV) are left out, because PyAV then
reads beyond its list of tracks.
"""

import codecs
import re
from dataclasses import dataclass
from typing import Literal

from raygenre.audio.errors import AudioError, FileTypeError
from raygenre.audio.frames import find_frames

Kind = Literal["png", "audio"]

HEAD_BYTES = 1 << 17  # bytes to pass to `detect`; also the maximum amount of junk skipped before the first frame
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class AudioFormat:
    """A container, or a family of containers that FFmpeg reads in the same way.

    Attributes:
        name: name used in messages and documents.
        demuxers: FFmpeg's names for the demuxers, separated by commas.
        suffixes: suffixes of such files, separated by spaces.
        signatures: alternatives, each a sequence of (offset, bytes) pairs that must all match.
    """

    name: str
    demuxers: str
    suffixes: str
    signatures: tuple[tuple[tuple[int, bytes], ...], ...]


def _at(offset: int, *magics: bytes) -> tuple[tuple[tuple[int, bytes], ...], ...]:
    return tuple(((offset, magic),) for magic in magics)


_RIFF, _FORM = (0, b"RIFF"), (0, b"FORM")
FORMATS = (
    AudioFormat(
        "WAV",
        "wav",
        ".wav .wave .bwf .rf64",
        tuple(((0, riff), (8, b"WAVE")) for riff in (b"RIFF", b"RIFX", b"RF64", b"BW64")),
    ),
    AudioFormat("FLAC", "flac", ".flac .fla", _at(0, b"fLaC")),
    # An ID3 tag may also precede AAC, TTA, Monkey's Audio and other formats; FFmpeg then examines the data after it.
    AudioFormat("MP3", "mp3", ".mp3 .mp2 .mp1 .mpa .m2a", _at(0, b"ID3")),
    AudioFormat("AAC", "aac", ".aac .adts", ()),
    AudioFormat("Ogg", "ogg", ".ogg .oga .ogv .ogx .opus .spx", _at(0, b"OggS")),
    AudioFormat(
        "MP4",
        "mov",
        ".m4a .m4b .m4r .mp4 .m4v .mov .qt .3gp .3g2 .f4a .f4v",
        _at(4, b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"),
    ),
    AudioFormat("Matroska", "matroska", ".mka .mkv .webm .weba", _at(0, b"\x1aE\xdf\xa3")),
    AudioFormat("WMA", "asf", ".wma .wmv .asf", _at(0, bytes.fromhex("3026b2758e66cf11"))),
    AudioFormat("AIFF", "aiff", ".aif .aiff .aifc", ((_FORM, (8, b"AIFF")), (_FORM, (8, b"AIFC")))),
    AudioFormat("AU", "au", ".au .snd", _at(0, b".snd")),
    AudioFormat("CAF", "caf", ".caf", _at(0, b"caff")),
    AudioFormat("Wave64", "w64", ".w64", _at(0, bytes.fromhex("726966662e91cf11a5d628db04c10000"))),
    AudioFormat("WavPack", "wv", ".wv", _at(0, b"wvpk")),
    AudioFormat("Monkey's Audio", "ape", ".ape", _at(0, b"MAC ")),
    AudioFormat("TTA", "tta", ".tta", _at(0, b"TTA1")),
    AudioFormat("TAK", "tak", ".tak", _at(0, b"tBaK")),
    AudioFormat("Musepack", "mpc,mpc8", ".mpc .mpp .mp+", _at(0, b"MP+", b"MPCK")),
    AudioFormat("Shorten", "shn", ".shn", _at(0, b"ajkg")),
    AudioFormat("DSD", "dsf,iff", ".dsf .dff", (*_at(0, b"DSD "), ((0, b"FRM8"), (12, b"DSD ")))),
    AudioFormat("AC-3", "ac3,eac3", ".ac3 .eac3 .ec3", _at(0, b"\x0b\x77")),
    AudioFormat("DTS", "dts", ".dts", _at(0, *map(bytes.fromhex, ("7ffe8001", "fe7f0180", "1fffe800", "ff1f00e8")))),
    AudioFormat("AMR", "amr", ".amr .awb", _at(0, b"#!AMR")),
    AudioFormat("VOC", "voc", ".voc", _at(0, b"Creative Voice File\x1a")),
    AudioFormat("AVI", "avi", ".avi", ((_RIFF, (8, b"AVI ")),)),
)
SUFFIXES = frozenset(suffix for item in FORMATS for suffix in item.suffixes.split())
_COMMON = [item.name for item in FORMATS[:8]]
CONTAINERS = ",".join(item.demuxers for item in FORMATS)

_BYTE_ORDER_MARKS = (
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
)  # some editors and scripts write such a mark even at the start of binary files

_COPY = "copy or download it again"
_CONVERT = "convert it to FLAC or MP3"
# Signatures of other file types that are often found among music files, each with the type's name and a remedy.
_OTHERS = (
    (0, b"\xff\xd8\xff", "a JPEG image", ""),
    (0, b"GIF8", "a GIF image", ""),
    (8, b"WEBP", "a WebP image", ""),
    (4, b"ftypheic", "a HEIF image", ""),
    (4, b"ftypmif1", "a HEIF image", ""),
    (4, b"ftypavif", "an AVIF image", ""),
    (4, b"ftypaax", "an Audible book, which is encrypted", ""),
    (0, b"%PDF", "a PDF document", ""),
    (0, b"PK\x03\x04", "a ZIP archive", "unpack it"),
    (0, b"Rar!", "a RAR archive", "unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it"),
    (0, b"MThd", "a MIDI file, which contains notes but no sound", "render it to a WAV file"),
    (0, b".RMF", "a RealMedia file", _CONVERT),
    (0, b".ra\xfd", "a RealAudio file", _CONVERT),
    (0, b"OFR ", "an OptimFROG file", _CONVERT),
    (0, b"LA0", "a Lossless Audio file", _CONVERT),
    (0, b"FLV\x01", "a Flash video", _CONVERT),
    (0, b"\0\0\1\xba", "an MPEG program stream", _CONVERT),
    (0, b"TTA2", "a TTA version 2 file", _CONVERT),
    (0, b"\0\x05\x16\x07", "a macOS metadata file", "use the file of the same name without the leading `._`"),
    (0, b"#EXTM3U", "a playlist", ""),
    (0, b"[playlist]", "a playlist", ""),
    (0, b"ffconcat", "a playlist", ""),
    (0, b"version https://git-lfs", "a Git LFS pointer file", "run `git lfs pull`"),
)
_TRANSPORT_PACKETS = ((0, 188), (4, 192))  # index of the first sync byte, and distance to the next in bytes
_WEB_PAGE = re.compile(rb"\s*<(!doctype html|html|head)\b", re.IGNORECASE)


@dataclass(frozen=True)
class FileType:
    """The type of a file.

    Attributes:
        kind: `png` or `audio`.
        name: name of the format, such as `WAV`.
        start: index of the format's first byte; greater than 0 if a byte order mark or junk precedes it.
    """

    kind: Kind
    name: str
    start: int = 0


def format_list() -> str:
    """Return the names of all audio formats as a phrase."""
    names = [item.name for item in FORMATS]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def detect(head: bytes) -> Kind:
    """Return the kind of a file: `png` or `audio`.

    Args:
        head: the file's first `HEAD_BYTES` bytes, or the whole file if it is shorter.

    Raises:
        FileTypeError: the file is neither a PNG nor audio; the message names its type if it is a common one.
        AudioError: the file is empty.
    """
    return identify(head).kind


def identify(head: bytes) -> FileType:
    """Return a file's type, with the same arguments and errors as `detect`."""
    if not head:
        raise AudioError("the file is empty; copy it again from its source")
    if head.startswith(PNG_SIGNATURE):
        return FileType("png", "PNG")
    _check_others(head)
    for mark in (b"", *_BYTE_ORDER_MARKS):
        if head.startswith(mark) and (name := _signed_format(head[len(mark) : len(mark) + 1024])):
            return FileType("audio", name, len(mark))
    # A byte order mark may look like the start of a frame.
    if head.startswith(_BYTE_ORDER_MARKS) and _is_text(head, "utf-16"):
        raise _file_type_error("it is text", "")
    if frames := find_frames(head, is_whole=len(head) < HEAD_BYTES):
        return FileType("audio", *frames)
    if not any(head):
        raise _file_type_error(f"it begins with {len(head)} zero bytes", _COPY)
    raise _file_type_error("it is text" if _is_text(head, "utf-8") else "", "")


def identify_audio(head: bytes) -> FileType:
    """Return an audio file's type; arguments and errors as for `detect`, plus AudioError for a PNG."""
    found = identify(head)
    if found.kind == "png":
        raise AudioError("the file is an image (PNG) and has no audio track; choose a file that has one")
    return found


def _signed_format(head: bytes) -> str:
    """Return the name of the format whose signature matches the data, or an empty string."""
    for item in FORMATS:
        for signature in item.signatures:
            if all(head.startswith(magic, offset) for offset, magic in signature):
                return item.name
    return ""


def _check_others(head: bytes) -> None:
    for offset, magic, what, remedy in _OTHERS:
        if head.startswith(magic, offset):
            raise _file_type_error(f"it is {what}", remedy)
    if any(head[first : first + 2 * length + 1 : length] == b"GGG" for first, length in _TRANSPORT_PACKETS):
        raise _file_type_error("it is an MPEG transport stream", _CONVERT)
    if _WEB_PAGE.match(head):
        raise _file_type_error("it is a web page", _COPY)


def _is_text(head: bytes, encoding: str) -> bool:
    try:  # the last character may be cut off
        text = codecs.getincrementaldecoder(encoding)().decode(head[:1024])
    except UnicodeError:
        return False
    return bool(text) and all(character.isprintable() or character.isspace() for character in text)


def _file_type_error(what: str, remedy: str) -> FileTypeError:
    remedy = remedy or f"supported: {', '.join(_COMMON)} and {len(FORMATS) - len(_COMMON)} other audio formats"
    return FileTypeError(f"the file is neither a PNG nor audio{what and f': {what}'}; {remedy}")
