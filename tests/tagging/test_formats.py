"""In every format, mutagen and FFmpeg read the written genres; undoing restores every bit."""

from pathlib import Path

import pytest

from raygenre.tagging.formats.base import Provenance
from raygenre.tagging.log import TagLog, read_log
from raygenre.tagging.open_tags import open_tags, present_genre
from raygenre.tagging.undo import undo
from raygenre.tagging.write import write_genres
from tests.helpers.tagged import FORMATS, ffmpeg_tags, new_song

GENRES = ("Hip-Hop", "Ünï & 東京")
JOINED = {".flac", ".ogg", ".opus"}  # FFmpeg shows all values of Vorbis comments, but only the first in other formats
UNREAD = {".tta"}  # FFmpeg reads no ID3 tags in TTA files


@pytest.mark.parametrize("suffix", FORMATS)
def test_genres_are_written_and_taken_back_exactly(suffix: str, tmp_path: Path) -> None:
    path, log_path = new_song(tmp_path / f"song{suffix}"), tmp_path / "log"
    old = path.read_bytes()
    with TagLog(log_path) as log:
        write_genres(path, GENRES, log, present=(), provenance=Provenance("raygenre/3", 0.87))
        one = path.read_bytes()
        write_genres(path, ["Rock"], log, present=GENRES)
    assert present_genre(path).genres == ("Rock",)
    assert open_tags(path).provenance == {}
    rock = ffmpeg_tags(path)
    last, first = read_log(log_path)[::-1]
    assert [result.outcome for result in undo([last])] == ["restored"]
    assert path.read_bytes() == one
    tags = ffmpeg_tags(path)
    if suffix not in UNREAD:
        assert rock["genre"] == "Rock"
        assert tags["genre"] == (";".join(GENRES) if suffix in JOINED else GENRES[0])
        assert (tags["raygenre_model"], tags["raygenre_confidence"]) == ("raygenre/3", "0.8700")
    assert [result.outcome for result in undo([first])] == ["restored"]
    assert path.read_bytes() == old
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log", path.name]


@pytest.mark.parametrize("suffix", FORMATS)
def test_frames_are_restored_among_later_changes(suffix: str, tmp_path: Path) -> None:
    """Another program changes a different tag after the genre was replaced."""
    path, log_path = new_song(tmp_path / f"song{suffix}"), tmp_path / "log"
    with TagLog(log_path) as log:
        write_genres(path, GENRES, log, present=(), provenance=Provenance("first", 0.9))
        was = open_tags(path).stored()
        write_genres(path, ["Rock"], log, present=GENRES)
    set_title(path, "Changed later")
    [before, replaced] = read_log(log_path)
    assert [result.outcome for result in undo([replaced])] == ["frames"]
    assert open_tags(path).stored() == was
    assert [result.outcome for result in undo([before])] == ["frames"]
    assert open_tags(path).stored() == {}
    assert title(path) == "Changed later"
    assert [result.outcome for result in undo(read_log(log_path))] == ["unchanged"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_genre_changed_since_is_left(suffix: str, tmp_path: Path) -> None:
    path, log_path = new_song(tmp_path / f"song{suffix}"), tmp_path / "log"
    with TagLog(log_path) as log:
        write_genres(path, GENRES, log, present=())
    with TagLog(tmp_path / "another program's") as log:
        write_genres(path, ["Jazz"], log, present=GENRES)
    changed = path.read_bytes()
    [result] = undo(read_log(log_path))
    assert (result.outcome, result.reason) == ("left", "its genre has been changed since; the file was left unchanged")
    assert path.read_bytes() == changed


def set_title(path: Path, text: str) -> None:
    import mutagen
    from mutagen.id3 import TIT2

    file = mutagen.File(path)
    if path.suffix in (".mp3", ".wav", ".aiff", ".tta"):
        file.tags.add(TIT2(encoding=3, text=text))
    else:
        file[TITLES.get(path.suffix, "Title")] = text
    file.save()


def title(path: Path) -> str:
    import mutagen

    file = mutagen.File(path)
    name = "TIT2" if path.suffix in (".mp3", ".wav", ".aiff", ".tta") else TITLES.get(path.suffix, "Title")
    value = file.tags[name]
    return str(value[0] if isinstance(value, list) else value)


TITLES = {".m4a": "\xa9nam"}
