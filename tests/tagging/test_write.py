"""Files are replaced completely or not at all, and only the genre changes."""

import os
import random
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import pytest

from raygenre.tagging.formats.base import TagError
from raygenre.tagging.log import LogError, TagLog, read_log
from raygenre.tagging.open_tags import present_genre
from raygenre.tagging.replacement import remove_abandoned, replacement
from raygenre.tagging.undo import undo
from raygenre.tagging.write import write_genres
from tests.helpers.sounds import noise
from tests.helpers.tagged import FORMATS, new_song


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_song(tmp_path / "song.flac")


def write(path: Path, *, log: str = "log", present: tuple[str, ...] = ()) -> None:
    with TagLog(path.parent / log) as tag_log:
        write_genres(path, ["Jazz"], tag_log, present=present)


def test_mode_owner_times_and_attributes_are_kept(path: Path) -> None:
    path.chmod(0o640)
    os.utime(path, ns=(1_000_000_007, 2_000_000_009))
    with suppress(OSError):  # not every file system supports extended attributes
        os.setxattr(path, "user.rating", b"5")
    before = path.stat()
    write(path)
    for _ in range(2):
        after = path.stat()
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
        assert after.st_mtime_ns == before.st_mtime_ns
        assert os.listxattr(path) in ([], ["user.rating"])
        list(undo(read_log(path.parent / "log")))
    assert present_genre(path).genres == ()


def test_a_link_is_followed_to_the_file(path: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link.flac"
    link.symlink_to("../song.flac")
    write(link, log="../log")
    assert link.is_symlink()
    assert present_genre(path).genres == ("Jazz",)
    assert list((tmp_path / "links").iterdir()) == [link]


def test_unsuitable_files_are_refused_unchanged(path: Path) -> None:
    old = path.read_bytes()
    path.chmod(0o444)
    with pytest.raises(TagError, match="read-only"):
        write(path)
    path.chmod(0o644)
    (path.parent / "other.flac").hardlink_to(path)
    with pytest.raises(TagError, match="2 hard links"):
        write(path)
    (path.parent / "other.flac").unlink()
    with pytest.raises(TagError, match="changed in the meantime"):
        write(path, present=("Rock",))
    assert path.read_bytes() == old
    assert read_log(path.parent / "log") == []
    assert sorted(file.name for file in path.parent.iterdir()) == ["log", "song.flac"]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Make writing fail beyond a given size in bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_the_file_and_the_log_unchanged(path: Path) -> None:
    old, log = path.read_bytes(), path.parent / "log"
    with TagLog(log) as tag_log:
        with largest_file(len(old) // 2), pytest.raises(OSError, match="File too large"):
            write_genres(path, ["Jazz"], tag_log, present=())
        write_genres(path, ["Jazz"], tag_log, present=())
        list(undo(read_log(log)))
    line = log.read_bytes()
    long = line * (len(old) // len(line) + 1)  # longer than the file, so that only writing the log fails
    log.write_bytes(long)
    with TagLog(log) as tag_log, largest_file(len(long) + 9), pytest.raises(LogError, match="no more files will be"):
        write_genres(path, ["Jazz"], tag_log, present=())
    assert log.read_bytes() == long
    assert path.read_bytes() == old
    assert sorted(file.name for file in path.parent.iterdir()) == ["log", "song.flac"]


def test_a_file_changed_while_it_is_written_is_left(path: Path) -> None:
    with pytest.raises(TagError, match="changed in the meantime"), replacement(path):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"


def test_only_abandoned_copies_are_removed(path: Path) -> None:
    (path.parent / ".unfinished-tag-0123").write_bytes(b"left by a killed process")
    with replacement(path) as copy:
        assert remove_abandoned(path.parent) == 1
        assert copy.exists()
    assert list(path.parent.iterdir()) == [path]


def test_comments_that_are_not_text_are_not_rewritten(path: Path) -> None:
    import mutagen

    file = mutagen.File(path)
    file["TITLE"] = "a title"
    file.save()
    old = path.read_bytes().replace(b"a title", b"a t\xeftle")  # Latin-1
    path.write_bytes(old)
    with pytest.raises(TagError, match="not valid UTF-8"):
        write(path)
    assert path.read_bytes() == old


def test_damaged_files_are_refused_or_written_and_taken_back(tmp_path: Path) -> None:
    generator = random.Random(1)
    for number in range(40):
        path = new_song(tmp_path / f"{number}{list(FORMATS)[number % len(FORMATS)]}")
        data = bytearray(path.read_bytes())
        for _ in range(3):
            data[generator.randrange(min(len(data), 2048))] = generator.randrange(256)
        path.write_bytes(data[: generator.choice([len(data), len(data) // 2])])
        old = path.read_bytes()
        try:
            write(path, log=f"{number}.log", present=present_genre(path).genres)
        except (OSError, TagError):
            assert path.read_bytes() == old
        else:
            assert [result.outcome for result in undo(read_log(tmp_path / f"{number}.log"))] == ["restored"]
            assert path.read_bytes() == old
    assert not list(tmp_path.glob(".*"))


def test_a_fragmented_mp4_is_refused_unchanged(tmp_path: Path) -> None:
    """mutagen does not correct the offsets of all fragments, so the audio would be noise."""
    path, samples = tmp_path / "song.m4a", noise(seconds=3, seed=0)
    options = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}
    with av.open(path, "w", format="mp4", options=options) as file:
        stream = file.add_stream("aac", rate=22_050)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = 22_050
        for part in (frame, None):
            file.mux(stream.encode(part))
    old = path.read_bytes()
    with pytest.raises(TagError, match="would change its audio; nothing was written"):
        write(path)
    assert path.read_bytes() == old
