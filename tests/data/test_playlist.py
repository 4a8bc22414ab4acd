import os
from pathlib import Path

import pytest

from raygenre.data import playlist


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one.mp3", "Café.mp3", "a b%20c.mp3", "Remix: live.mp3", "album/two.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def read(folder: Path, data: bytes) -> playlist.Playlist:
    (folder / "list.m3u").write_bytes(data)
    return playlist.read(folder / "list.m3u")


def test_relative_entries_comments_and_line_endings(folder: Path) -> None:
    entries = read(folder, b"#EXTM3U\r\n#EXTINF:123,Artist - One\r\none.mp3\r\n\r\n  album/two.mp3 \rmissing.mp3\n")
    assert entries.songs == (folder / "one.mp3", folder / "album/two.mp3", folder / "missing.mp3")
    assert not entries.skipped


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_encodings(folder: Path, encoding: str) -> None:
    assert read(folder, "#EXTM3U\nCafé.mp3\n".encode(encoding)).songs == (folder / "Café.mp3",)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("file://{folder}/one.mp3", "one.mp3"),
        ("FILE://localhost{folder}/one.mp3", "one.mp3"),
        ("file://{folder}/a%20b%2520c.mp3", "a b%20c.mp3"),
        ("file:one.mp3", "one.mp3"),
        ("{folder}/one.mp3", "one.mp3"),
        ("album\\two.mp3", "album/two.mp3"),
        ("Caf%C3%A9.mp3", "Café.mp3"),
        ("a b%20c.mp3", "a b%20c.mp3"),
        ("Remix: live.mp3", "Remix: live.mp3"),
    ],
)
def test_notations_of_a_path(folder: Path, entry: str, name: str) -> None:
    assert read(folder, entry.format(folder=folder).encode()).songs == (folder / name,)


@pytest.mark.parametrize("entry", ["http://host/a.mp3", "HTTPS://host/a.mp3", "rtsp://host/a", "file://nas/a.mp3"])
def test_entries_on_the_network_are_skipped_with_a_reason(folder: Path, entry: str) -> None:
    entries = read(folder, f"one.mp3\n{entry}\nalbum/two.mp3\n".encode())
    assert entries.songs == (folder / "one.mp3", folder / "album/two.mp3")
    [(skipped, reason)] = entries.skipped
    assert skipped == entry
    assert "local files only" in reason or "another machine, nas" in reason


@pytest.mark.parametrize("entry", [b"a\0b.mp3", b"file:///a%00b.mp3", b"x" * 5000])
def test_impossible_names_are_skipped(folder: Path, entry: bytes) -> None:
    entries = read(folder, entry + b"\none.mp3")
    assert entries.songs == (folder / "one.mp3",)
    assert len(entries.skipped) == 1


def test_missing_playlist_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        playlist.read(tmp_path / "none.m3u")


@pytest.mark.parametrize(
    "name",
    ["song.mp3", "#1 hit.mp3", " padded.mp3", "padded.mp3 ", "a\nb.mp3", "a\rb.mp3", "http:x.mp3", "c:x.mp3",
     "a\\b.mp3", "50%25.mp3", "Bj\u00f6rk.mp3", os.fsdecode(b"caf\xe9.mp3"), "file:a.mp3"],
)  # fmt: skip
@pytest.mark.parametrize("place", ["songs", "songs/lists", ".", "lists"])
def test_written_entries_lead_back_to_the_song(tmp_path: Path, name: str, place: str) -> None:
    song = tmp_path / "songs" / name
    song.parent.mkdir()
    song.touch()
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    for base in (folder, None):
        line = playlist.entry(song, base)
        (folder / "list.m3u8").write_text(f"#EXTM3U\n{line}\n", encoding="utf-8")
        [found] = playlist.read(folder / "list.m3u8").songs
        assert found.samefile(song)
        assert base or line.startswith(("/", "file:///"))


def test_entries_follow_links_as_the_file_system_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "song.mp3").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    monkeypatch.chdir(tmp_path)
    line = playlist.entry(Path("link/../song.mp3"), tmp_path)
    assert line == "real/song.mp3"
