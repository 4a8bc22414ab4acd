"""Each file in a folder is music, known clutter, or excluded with a reason."""

import errno
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from raygenre.data.folder_scan import FolderScan, scan, scan_notes
from tests.helpers.folders import PNG_HEAD, fill
from tests.helpers.sounds import encode, tone

LARGE_PNG = PNG_HEAD.replace(b"\x01\xb0", b"\x02\x00")


def names(result: FolderScan, root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in result.music]


def test_known_clutter_is_counted(tmp_path: Path) -> None:
    files = ["a.mp3", "cover.JPG", "x/folder.jpg", "x/list.m3u", "x/a.cue", "Thumbs.db", ".DS_Store", "._a.mp3"]
    folders = ["@eaDir", "x/@eaDir", "#recycle", "lost+found", "$RECYCLE.BIN", "system volume information", ".git"]
    fill(tmp_path, [*files, *(f"{folder}/deep/b.mp3" for folder in folders)])
    result = scan(tmp_path)
    assert names(result, tmp_path) == ["a.mp3"]
    assert result.clutter == {".jpg": 2, ".m3u": 1, ".cue": 1, "Thumbs.db": 1, ".DS_Store": 1, "hidden": 2} | {
        "@eaDir": 2, "#recycle": 1, "lost+found": 1, "$RECYCLE.BIN": 1, "System Volume Information": 1
    }  # fmt: skip
    assert not result.left_out
    [line] = scan_notes(result.clutter, result.others)
    assert line.startswith("ignored: 2 .jpg, 2 @eaDir, 2 hidden, 1 #recycle, ")


def test_content_decides_what_an_unknown_suffix_is(tmp_path: Path) -> None:
    sound = encode(tone(440, seconds=3))
    for name, content in {
        "voice": sound,
        "song.part": sound,
        "spectrogram.dat": PNG_HEAD,
        "photo.dat": LARGE_PNG,
        "project.als": b"\x1f\x8b\x08",
        "other.als": b"text",
        "tune.mid": b"MThd",
        "empty": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    result = scan(tmp_path)
    assert names(result, tmp_path) == ["song.part", "spectrogram.dat", "voice"]
    reasons = {path.name: reason for path, reason in result.left_out}
    assert list(reasons) == ["empty", "other.als", "photo.dat", "project.als", "tune.mid"]
    for name, part in {"empty": "is empty", "other.als": "is text", "photo.dat": "not have the size of a spectrogram",
                       "project.als": "gzip", "tune.mid": "MIDI"}.items():  # fmt: skip
        assert part in reasons[name]
    assert result.may_be_music == {tmp_path / "tune.mid"}
    assert scan_notes(result.clutter, result.others) == [
        "left out: 2 .als, 1 .dat, 1 without suffix (not music; -v lists them)"
    ]


def test_other_pngs_are_covers_among_songs_broken_among_pictures(tmp_path: Path) -> None:
    fill(tmp_path, ["a.mp3", "b.png"])
    (tmp_path / "cover.png").write_bytes(LARGE_PNG)
    result = scan(tmp_path)
    assert names(result, tmp_path) == ["a.mp3", "b.png"]
    assert result.clutter == Counter({".png": 1})
    (tmp_path / "a.mp3").unlink()
    result = scan(tmp_path)
    assert names(result, tmp_path) == ["b.png", "cover.png"]
    assert not result.clutter


def test_links_are_followed_once(tmp_path: Path) -> None:
    music, nas = tmp_path / "music", tmp_path / "nas"
    fill(tmp_path, ["music/rock/a.mp3", "nas/jazz/b.mp3"])
    (music / "all").symlink_to(music)
    (music / "jazz").symlink_to(nas / "jazz")
    (music / "best").symlink_to(music / "rock")  # comes before `rock`, but the files keep their real paths
    (nas / "jazz" / "back").symlink_to(music)
    (music / "loop").symlink_to("loop")
    result = scan(music)
    assert names(result, music) == ["jazz/b.mp3", "rock/a.mp3"]
    read_already = "a link to a folder that was already read"
    assert result.left_out == (
        (music / "all", read_already),
        (music / "best", read_already),
        (music / "jazz" / "back", read_already),
        (music / "loop", "the file cannot be read: Too many levels of symbolic links"),
    )
    assert result.may_be_music == {music / "loop"}


def test_folders_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, ["rock/a.mp3", "private/b.mp3"])
    scandir = os.scandir

    def denied(path: Path) -> "Iterator[os.DirEntry[str]]":  # simulated, because root can read any folder
        if path.name == "private":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    result = scan(tmp_path)
    assert names(result, tmp_path) == ["rock/a.mp3"]
    assert result.unusable == ((tmp_path / "private", "the folder cannot be read: Permission denied"),)
    missing = scan(tmp_path / "missing")
    assert missing.unusable == ((tmp_path / "missing", "the folder cannot be read: No such file or directory"),)


def test_unreadable_songs_are_music_and_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.mp3")
    (tmp_path / "gone.mp3").symlink_to("nowhere")
    result = scan(tmp_path)
    assert names(result, tmp_path) == ["gone.mp3", "pipe.mp3"]  # errors are reported only when these files are read
    assert result.left_out == ((tmp_path / "pipe", "it is not a regular file"),)


def test_any_file_name_is_accepted(tmp_path: Path) -> None:
    odd = [os.fsdecode(b"\xff.mp3"), "[bold]x\x1b.mp3", "a\nb.mp3", unicodedata.normalize("NFD", "é.mp3")]
    fill(tmp_path, [*odd, os.fsdecode(b"x.\xff")])
    result = scan(tmp_path)
    assert {path.name for path in result.music} == set(odd)
    assert scan_notes(result.clutter, result.others) == ["left out: 1 .\\xff (not music; -v lists them)"]
