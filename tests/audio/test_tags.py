"""Tags written with mutagen and FFmpeg are read correctly from files in every format."""

from collections.abc import Callable
from pathlib import Path

import av
import mutagen
import pytest
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TALB, TCON, TIT2, TPE1, TPE2
from mutagen.mp4 import MP4

from raygenre.audio.tags import Tags, read_tags
from tests.helpers.sounds import encode, tone

EXPECTED = Tags("Muddy Waters", "At Newport", "Hoochie Coochie Man", ("Blues", "Electric Blues"), "Muddy Waters")


def sound(path: Path, container: str, codec: str, **tags: str) -> Path:
    """Write a short song, and let FFmpeg add the tags, if any are given."""
    plain = path.with_name("plain")
    plain.write_bytes(encode(tone(440, seconds=0.2, rate=48_000), container, codec, rate=48_000))
    if not tags:
        return plain.rename(path)
    with av.open(plain) as source, av.open(path, "w", format=container) as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        target.metadata.update(tags)
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


def id3(path: Path) -> None:
    frames = [TPE1(text="Muddy Waters"), TALB(text="At Newport"), TIT2(text="Hoochie Coochie Man")]
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    for frame in (*frames, TCON(text=["0", "Electric Blues"])):  # 0 is the ID3v1 number for Blues
        file.tags.add(frame)
    file.save()


def mp4(path: Path) -> None:
    file = MP4(path)
    file.update({"\xa9ART": "Muddy Waters", "\xa9alb": "At Newport", "\xa9nam": "Hoochie Coochie Man"})
    file["\xa9gen"] = ["Blues", "Electric Blues"]
    file.save()


def comments(path: Path) -> None:
    file = mutagen.File(path)
    file["ARTIST"], file["Album"], file["title"] = "Muddy Waters", "At Newport", "Hoochie Coochie Man"
    file["GENRE"] = ["Blues", "Electric Blues"]
    file.save()


def asf(path: Path) -> None:
    file = mutagen.File(path)
    file["Author"], file["WM/AlbumTitle"], file["Title"] = "Muddy Waters", "At Newport", "Hoochie Coochie Man"
    file["WM/Genre"] = ["Blues", "Electric Blues"]
    file.save()


def ape(path: Path) -> None:
    tags = APEv2()
    tags.update({"Artist": "Muddy Waters", "Album": "At Newport", "Title": "Hoochie Coochie Man"})
    tags["Genre"] = ["Blues", "Electric Blues"]
    tags.save(path)


@pytest.mark.parametrize(
    ("container", "codec", "write"),
    [
        ("mp3", "libmp3lame", id3),
        ("wav", "pcm_s16le", id3),
        ("aiff", "pcm_s16be", id3),
        ("ipod", "aac", mp4),
        ("flac", "flac", comments),
        ("ogg", "libopus", comments),
        ("ogg", "libvorbis", comments),
        ("asf", "wmav2", asf),
        ("wv", "wavpack", ape),
    ],
)
def test_tags_are_read_alike_from_every_format(
    container: str, codec: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    path = sound(tmp_path / "song", container, codec)
    write(path)
    assert read_tags(path) == EXPECTED


@pytest.mark.parametrize(("container", "codec"), [("matroska", "flac"), ("wav", "pcm_s16le")])
def test_ffmpeg_reads_what_mutagen_does_not(container: str, codec: str, tmp_path: Path) -> None:
    path = sound(tmp_path / "song", container, codec, artist="Muddy Waters", title="Mannish Boy", genre="Blues")
    tags = read_tags(path)
    assert (tags.artist, tags.title, tags.genres) == ("Muddy Waters", "Mannish Boy", ("Blues",))


def test_an_mp3_with_ape_tags_only(tmp_path: Path) -> None:
    path = sound(tmp_path / "song.mp3", "mp3", "libmp3lame")
    ape(path)
    ID3().delete(path)
    assert read_tags(path).title == EXPECTED.title


def test_the_artists_of_song_and_album_replace_each_other(tmp_path: Path) -> None:
    path = sound(tmp_path / "song.mp3", "mp3", "libmp3lame")
    tags = ID3()
    tags.add(TPE2(text="Muddy Waters"))
    tags.save(path)
    assert read_tags(path) == Tags(artist="Muddy Waters", album_artist="Muddy Waters")
    tags.add(TPE1(text="Muddy Waters feat. James Cotton"))
    tags.save(path)
    assert read_tags(path) == Tags("Muddy Waters feat. James Cotton", album_artist="Muddy Waters")


def test_files_without_readable_tags_have_none(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"not audio")
    assert read_tags(tmp_path / "song.mp3") == read_tags(tmp_path / "missing.mp3") == Tags()


def test_damaged_tags_are_no_error(tmp_path: Path) -> None:
    path = sound(tmp_path / "song.mp3", "mp3", "libmp3lame")
    id3(path)
    data = path.read_bytes()
    for start in range(0, 200, 3):
        path.write_bytes(data[:start] + b"\xff" * 9 + data[start + 9 :])
        assert isinstance(read_tags(path), Tags)


@pytest.mark.parametrize("name", ["AC:DC.mka", "http:x.mka", "concat:x.mka"])
def test_names_that_look_like_addresses_are_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound(tmp_path / "song", "matroska", "flac", artist="Muddy Waters").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert read_tags(Path(name)).artist == "Muddy Waters"
