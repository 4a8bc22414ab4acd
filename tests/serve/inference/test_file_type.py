import pytest

from serve.errors import RefusalError
from serve.inference.file_type import sniff
from tests.helpers.sounds import encode, tone

SOUND = tone(440, seconds=3.5)


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("flac", "flac"),
        ("mp3", "libmp3lame"),
        ("ogg", "libopus"),
        ("ipod", "aac"),
        ("adts", "aac"),
        ("asf", "wmav2"),
        ("webm", "libopus"),
        ("matroska", "libmp3lame"),
        ("aiff", "pcm_s16be"),
        ("au", "pcm_s16be"),
        ("mov", "pcm_s16le"),
    ],
)
def test_audio_is_detected_by_its_first_bytes(container: str, codec: str) -> None:
    rate = 48_000 if codec == "libopus" else 22_050
    file = encode(tone(440, seconds=3.5, rate=rate), container, codec, rate=rate)
    assert sniff(file) == "audio"
    assert sniff(file[:64]) == "audio"


def test_zeros_before_the_first_frame_are_skipped() -> None:
    frames = encode(SOUND, "mp3", "libmp3lame")
    frames = frames[frames.index(b"\xff\xfb") :] if b"\xff\xfb" in frames else frames[frames.index(b"\xff\xf3") :]
    assert sniff(frames) == sniff(bytes(1000) + frames) == sniff(bytes(4096) + frames) == "audio"


@pytest.mark.parametrize(
    "data",
    [
        b"text",
        b"GIF89a" + bytes(100),
        b"\xff\xd8\xff\xe0" + bytes(100),  # JPEG
        b"%PDF-1.7",
        b"PK\x03\x04" + bytes(30),
        b"\x7fELF",
        b"#EXTM3U\nhttp://example.com/a.mp3",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1",
        b"<svg/>",
        bytes(10_000),
        b"\xff",
        b"RIFF\0\0\0\0AVI ",
        b"\xff\xe9\x00\x00",  # an MPEG version that does not exist
    ],
)
def test_a_file_that_is_neither_png_nor_audio_is_refused(data: bytes) -> None:
    with pytest.raises(RefusalError) as refusal:
        sniff(data)
    assert refusal.value.status == 415


def test_a_png_is_detected_and_an_empty_file_is_refused() -> None:
    assert sniff(b"\x89PNG\r\n\x1a\n") == "png"
    with pytest.raises(RefusalError, match="empty"):
        sniff(b"")
