"""Error messages about files that FFmpeg cannot read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from raygenre.audio import AudioError, decode
from raygenre.tagging import streams
from raygenre.tagging.formats.base import TagError
from raygenre.tagging.open_tags import present_genre
from tests.helpers.sounds import encode, tone
from tests.helpers.tagged import new_song, song

UNREADABLE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"not music",
    "zeros": lambda: bytes(1000),
    "PNG": lambda: b"\x89PNG\r\n\x1a\n" + bytes(40),
    "PDF": lambda: b"%PDF-1.7" + bytes(40),
    "FLAC signature": lambda: b"fLaC",
    "cut FLAC": lambda: song(".flac")[:20],
    "cut M4A": lambda: song(".m4a")[:200],
    "cut Ogg": lambda: song(".ogg")[:30],
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_the_reason_is_the_one_that_decoding_gives(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "song.flac"
    path.write_bytes(UNREADABLE[name]())
    with pytest.raises(AudioError) as of_decoding:
        decode(path)
    with pytest.raises(TagError) as of_tags:
        present_genre(path)
    assert str(of_tags.value) == str(of_decoding.value)
    assert capfd.readouterr().err == ""


def test_bytes_before_the_header_are_not_called_damage(tmp_path: Path) -> None:
    path = tmp_path / "song"
    path.write_bytes(b"\xef\xbb\xbf" + song(".wav"))
    assert decode(path).size
    with pytest.raises(TagError, match=r"^3 bytes precede the header of the WAV file; convert it to FLAC$"):
        streams.view(path)


def test_formats_without_tags_are_named(tmp_path: Path) -> None:
    path = tmp_path / "song.voc"
    path.write_bytes(encode(tone(440, seconds=1), "voc", "pcm_s16le"))
    with pytest.raises(TagError, match="cannot write tags to Creative Voice files; convert the file to FLAC or M4A"):
        streams.view(path)


@pytest.mark.parametrize("name", ["AC:DC.flac", "pipe:0.flac", os.fsdecode(b"\xff.flac"), "http:%d,|x.flac"])
def test_names_that_look_like_addresses_are_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    new_song(Path(name))
    assert streams.view(Path(name)).kind == "flac"
    assert streams.stream_digest(Path(name)) == streams.stream_digest(new_song(tmp_path / "plain.flac"))
