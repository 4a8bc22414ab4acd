"""A file's type is detected from its content, and the list of formats matches what FFmpeg can open."""

import re

import pytest
from av.format import ContainerFormat

from raygenre.audio import SUFFIXES, AudioError, FileTypeError
from raygenre.audio.file_type import CONTAINERS, FORMATS, HEAD_BYTES, detect, identify
from tests.helpers.project import ROOT
from tests.helpers.sounds import encode, noise, tone

SOUND = tone(440, seconds=3.5)
ICY = b"ICY 200 OK\r\nicy-name: Radio\r\ncontent-type: audio/mpeg\r\n\r\n"
OPENS_OTHER_FILES = {"applehttp", "concat", "dash", "hls", "image2", "imf", "rtp", "rtsp", "sap", "sdp", "vobsub"}


def frames(container: str = "mp3", codec: str = "libmp3lame") -> bytes:
    """Return the frames of an encoded file, without the tag that precedes them."""
    data = encode(SOUND, container, codec)
    sync = re.search(rb"\xff[\xf0-\xff]", data)
    assert sync
    return data[sync.start() :]


@pytest.mark.parametrize("name", CONTAINERS.split(","))
def test_ffmpeg_has_every_container_of_the_list(name: str) -> None:
    assert ContainerFormat(name, "r").is_input
    assert not set(ContainerFormat(name, "r").name.split(",")) & OPENS_OTHER_FILES


def test_suffixes_are_lower_case_and_belong_to_one_format() -> None:
    assert all(re.fullmatch(r"\.[a-z0-9+]+", suffix) for suffix in SUFFIXES)
    assert sum(len(item.suffixes.split()) for item in FORMATS) == len(SUFFIXES)


def test_documents_and_page_list_every_suffix() -> None:
    page = re.findall(r"(?<=[\",\s])\.[a-z0-9+]+(?=[,\s])", (ROOT / "serve/web/page/index.html").read_text())
    assert set(page) == SUFFIXES | {".png"}
    rows = re.findall(r"^\| ([^|]+) \| (`\.[^|]+`) \|", (ROOT / "docs/serving.md").read_text(), re.MULTILINE)
    assert rows == [(item.name, " ".join(f"`{suffix}`" for suffix in item.suffixes.split())) for item in FORMATS]


@pytest.mark.parametrize(
    ("container", "codec", "name"),
    [
        ("wav", "pcm_s16le", "WAV"),
        ("w64", "pcm_s16le", "Wave64"),
        ("flac", "flac", "FLAC"),
        ("mp3", "libmp3lame", "MP3"),
        ("mp2", "mp2", "MP3"),
        ("adts", "aac", "AAC"),
        ("ogg", "libopus", "Ogg"),
        ("ipod", "aac", "MP4"),
        ("mov", "pcm_s16le", "MP4"),
        ("asf", "wmav2", "WMA"),
        ("webm", "libopus", "Matroska"),
        ("matroska", "libmp3lame", "Matroska"),
        ("aiff", "pcm_s16be", "AIFF"),
        ("au", "pcm_s16be", "AU"),
        ("caf", "pcm_s16be", "CAF"),
        ("wv", "wavpack", "WavPack"),
        ("tta", "tta", "TTA"),
        ("ac3", "ac3", "AC-3"),
        ("eac3", "eac3", "AC-3"),
        ("voc", "pcm_s16le", "VOC"),
        ("avi", "mp3", "AVI"),
    ],
)
def test_audio_is_detected_by_its_first_bytes(container: str, codec: str, name: str) -> None:
    rate = {"libopus": 48_000, "ac3": 48_000, "eac3": 48_000, "mp2": 48_000}.get(codec, 22_050)
    data = encode(tone(440, seconds=3.5, rate=rate), container, codec, rate=rate)
    assert identify(data[:HEAD_BYTES]).name == name
    assert detect(data[:64]) == "audio"


@pytest.mark.parametrize("stream", [("mp3", "libmp3lame"), ("mp2", "mp2"), ("adts", "aac")])
@pytest.mark.parametrize(
    "junk", [ICY, bytes(100_000), noise(seconds=1, seed=0).tobytes()[:1000]], ids=["text", "zeros", "noise"]
)
def test_junk_before_the_first_frame_is_skipped(junk: bytes, stream: tuple[str, str]) -> None:
    data = frames(*stream)
    found = identify((junk + data)[:HEAD_BYTES])
    assert (found.kind, found.start) == ("audio", len(junk))


def test_file_cut_within_a_frame_starts_with_the_next_frame() -> None:
    data = frames()
    second = data.index(data[:2], 100)
    assert identify(data[50:HEAD_BYTES]).start == second - 50


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"])
def test_byte_order_mark_before_a_file_is_skipped(mark: bytes) -> None:
    assert identify(mark + encode(SOUND)).start == len(mark)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"text", "it is text"),
        ("Gedicht über Musik\n".encode() * 100, "it is text"),
        (ICY, "it is text"),
        (b"\xff\xfe" + "Über UTF-16\r\n".encode("utf-16-le"), "it is text"),
        (b"GIF89a" + bytes(100), "a GIF image"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "a JPEG image"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04" + frames(), "a ZIP archive; unpack it"),
        (b"MThd" + bytes(30), "a MIDI file, which contains notes but no sound"),
        (b"\0\0\0\x18ftypaax " + bytes(30), "an Audible book, which is encrypted"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer file; run `git lfs pull`"),
        (b"\n<!DOCTYPE html><html>404", "a web page; copy or download it again"),
        (b"\x7fELF", "audio; supported: WAV, FLAC, MP3"),
        (encode(SOUND, "flv", "libmp3lame"), "a Flash video; convert it to FLAC or MP3"),
        (encode(tone(440, seconds=1, rate=48_000), "mpeg", "mp2", rate=48_000), "an MPEG program stream; convert it"),
        (encode(tone(440, seconds=1, rate=48_000), "mpegts", "mp2", rate=48_000), "an MPEG transport stream; convert"),
        (b"#EXTM3U\nhttp://example.com/a.mp3", "a playlist"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1", "it is text"),
        (b"<svg/>", "it is text"),
        (bytes(10_000), "it begins with 10000 zero bytes; copy or download it again"),
        (b"\xff", "audio;"),
        (b"RIFF\0\0\0\0sfbk", "audio;"),
        (b"\xff\xe9\x00\x00", "audio;"),  # an MPEG version that does not exist
        (b"\xff\xfb\x90\x00" * 5000, "audio;"),  # a frame header that is not followed by a frame
    ],
    ids=lambda value: value[:8].hex() if isinstance(value, bytes) else "",
)
def test_file_of_another_type_is_named(data: bytes, what: str) -> None:
    with pytest.raises(FileTypeError, match=f"neither a PNG nor audio.*{re.escape(what)}|neither.*nor {what}"):
        detect(data)


def test_a_png_is_detected_and_an_empty_file_is_refused() -> None:
    assert detect(b"\x89PNG\r\n\x1a\n") == "png"
    with pytest.raises(AudioError, match="empty"):
        detect(b"")
