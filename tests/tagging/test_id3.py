"""ID3 tags keep their version and all other frames; older tags in MP3 files are kept consistent."""

import struct
from pathlib import Path

import mutagen
import pytest
from mutagen.apev2 import APEv2
from mutagen.id3 import APIC, ID3, POPM, TALB, TCON, TIT2, TXXX, Encoding, delete

from raygenre.tagging.formats.base import TagError
from raygenre.tagging.log import TagLog, read_log
from raygenre.tagging.open_tags import open_tags, present_genre
from raygenre.tagging.undo import undo
from raygenre.tagging.write import write_genres
from tests.helpers.tagged import new_song, song


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return an MP3 file without any tag."""
    song = new_song(tmp_path / "song.mp3")
    delete(song)
    return song


def overwrite(path: Path, *genres: str) -> bytes:
    """Replace the genre, and return the bytes of the file."""
    with TagLog(path.with_name("log")) as log:
        write_genres(path, genres, log, present=present_genre(path).genres)
    return path.read_bytes()


def take_back(path: Path) -> list[str]:
    return [result.outcome for result in undo(read_log(path.with_name("log")))]


def frame(name: str, body: bytes, *, flags: int = 0) -> bytes:
    return struct.pack(">4sLH", name.encode(), len(body), flags) + body


def tag_of_version_3(*frames: bytes) -> bytes:
    data = b"".join(frames) + bytes(20)
    return (
        b"ID3\x03\0\0"
        + bytes([len(data) >> 21 & 127, len(data) >> 14 & 127, len(data) >> 7 & 127, len(data) & 127])
        + data
    )


@pytest.mark.parametrize("version", [3, 4])
def test_the_version_and_other_frames_stay(path: Path, version: int) -> None:
    tags = ID3()
    tags.add(TIT2(encoding=Encoding.UTF16, text="Title"))
    tags.add(TXXX(encoding=Encoding.LATIN1, desc="mood", text=["calm", "blue"]))
    tags.add(POPM(email="me", rating=200, count=7))
    tags.add(APIC(encoding=0, mime="image/png", type=3, desc="", data=bytes(range(256)) * 400))
    tags.add(TCON(encoding=Encoding.LATIN1, text=["(17)", "Pop"]))
    tags.save(path, v2_version=version, v23_sep=None)
    old = path.read_bytes()
    assert present_genre(path).genres == ("Rock", "Pop")
    overwrite(path, "Jazz", "東京")
    [record] = read_log(path.with_name("log"))
    assert sum(len(step) for step in record.steps if isinstance(step, str)) < 200  # the cover is not recorded
    again = ID3(path, translate=False)
    assert again.version == (2, version, 0)
    assert again["TCON"].text == ["Jazz", "東京"]
    assert again["TXXX:mood"].text == ["calm", "blue"]
    assert take_back(path) == ["restored"]
    assert path.read_bytes() == old


def test_frames_that_mutagen_does_not_know_stay_bit_for_bit(path: Path) -> None:
    others = [
        frame("XYZW", b"\x01unknown"),
        frame("TIT2", b"\x01\xfe\xff\0T\0i", flags=0x4000),
        frame("NCON", bytes(9)),
    ]
    genre = frame("TCON", b"\x01\xfe\xff\0R\0o\0c\0k")  # big-endian, which mutagen would write as little-endian
    path.write_bytes(tag_of_version_3(*others, genre) + path.read_bytes())
    new = overwrite(path, "Jazz")
    assert all(other in new for other in others)
    tags = mutagen.File(path)
    tags["TALB"] = TALB(encoding=0, text="later")
    tags.save(v2_version=3)
    assert take_back(path) == ["frames"]
    assert genre in path.read_bytes()


def test_a_tag_of_version_2_becomes_3_and_is_taken_back(path: Path) -> None:
    frames = b"TT2\0\0\x06\0Title" + b"TCO\0\0\x05\0(17)"
    path.write_bytes(b"ID3\x02\0\0\0\0\0" + bytes([len(frames)]) + frames + path.read_bytes())
    old = path.read_bytes()
    overwrite(path, "Jazz")
    tags = ID3(path, translate=False)
    assert (tags.version, tags["TIT2"].text, tags["TCON"].text) == ((2, 3, 0), ["Title"], ["Jazz"])
    assert take_back(path) == ["restored"]
    assert path.read_bytes() == old


def id3v1(genre: int) -> bytes:
    return b"TAG" + b"Old title".ljust(30, b"\0") + b"Artist  ".ljust(30, b"\0") + bytes(64) + bytes([genre])


def test_id3v1_agrees_with_the_new_genre(path: Path) -> None:
    path.write_bytes(path.read_bytes() + id3v1(17))
    old = path.read_bytes()
    assert present_genre(path).genres == ("Rock",)
    assert overwrite(path, "Jazz").endswith(id3v1(8))
    assert overwrite(path, "Chamber Rap").endswith(id3v1(255))
    assert str(ID3(path, load_v1=False)["TIT2"]) == "Old title"  # players ignore ID3v1 tags if there are ID3v2 tags
    assert take_back(path) == ["restored"]
    assert path.read_bytes() == old


def test_an_ape_tag_of_an_mp3_agrees_with_the_new_genre(path: Path) -> None:
    tags = APEv2()
    tags["Genre"], tags["MP3GAIN_MINMAX"] = ["Rock", "Pop"], "100,200"
    tags.save(path)
    path.write_bytes(path.read_bytes() + id3v1(17))
    old = path.read_bytes()
    assert overwrite(path, "Jazz").endswith(id3v1(8))
    assert list(APEv2(path)["Genre"]) == ["Jazz"]
    assert str(APEv2(path)["MP3GAIN_MINMAX"]) == "100,200"
    assert take_back(path) == ["restored"]
    assert path.read_bytes() == old


def test_the_genre_in_a_wav_info_chunk_is_not_overwritten(tmp_path: Path) -> None:
    data = song(".wav")
    genre = b"IGNR\x05\0\0\0Rock\0\0"
    info = b"LIST" + struct.pack("<I", 4 + len(genre)) + b"INFO" + genre
    path = tmp_path / "song.wav"
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8 + len(info)) + data[8:] + info)
    present = present_genre(path)
    assert (present.genres, present.is_elsewhere) == (("Rock",), True)


def test_damaged_tags_are_refused(path: Path) -> None:
    path.write_bytes(b"ID3\x03\0\0\xff\xff\xff\xff" + path.read_bytes())
    with pytest.raises(TagError, match="damaged"):
        open_tags(path)
