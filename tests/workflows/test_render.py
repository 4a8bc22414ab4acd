import os
from pathlib import Path

import numpy as np
import pytest

from raygenre.data import track_files
from raygenre.spectrogram import song
from raygenre.spectrogram.image import read_png
from raygenre.system.atomic_write import write_atomically
from raygenre.workflows import render
from raygenre.workflows.render import Drawing
from tests.helpers.sounds import encode, tone

WAV = encode(tone(440, seconds=3))
FLAC = encode(tone(880, seconds=3), "flac", "flac")


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WAV if path.suffix == ".wav" else FLAC)


def pictures(source: Path) -> dict[str, str]:
    """Song to picture, both from their folders."""
    drawings, _ = render.plan(source, Path("out"))
    found = {
        str(drawing.song.relative_to(source)): str(drawing.picture.relative_to("out/images_original"))
        for drawing in drawings
    }
    assert len(set(found.values())) == len(found)
    return found


def draw(source: Path, output: Path, jobs: int = 1) -> list[render.Drawn]:
    return list(render.draw(render.plan(source, output)[0], jobs=jobs))


def test_kaggles_names(tmp_path: Path) -> None:
    fill(tmp_path, "blues/blues.00000.wav", "blues/jazz.00000.wav", "blues/blues.1.wav", "jazz/So What.FLAC")
    assert pictures(tmp_path) == {
        "blues/blues.00000.wav": "blues/blues00000.png",
        "blues/blues.1.wav": "blues/blues.1.png",
        "blues/jazz.00000.wav": "blues/jazz.00000.png",
        "jazz/So What.FLAC": "jazz/So What.png",
    }


def test_kaggles_unpacked_recordings(tmp_path: Path) -> None:
    fill(tmp_path, "Data/genres_original/blues/blues.00000.wav", "Data/genres_original/jazz/jazz.00000.wav")
    assert sorted(pictures(tmp_path).values()) == ["blues/blues00000.png", "jazz/jazz00000.png"]


def test_deeper_folders_are_kept(tmp_path: Path) -> None:
    fill(tmp_path, "rock/A/First/01.wav", "rock/A/Second/01.wav", "rock/01.wav")
    assert sorted(pictures(tmp_path).values()) == ["rock/01.png", "rock/A/First/01.png", "rock/A/Second/01.png"]


def test_equal_stems_keep_their_suffixes(tmp_path: Path) -> None:
    fill(tmp_path, "rock/a.wav", "rock/a.flac", "rock/a.wav.wav", "rock/b.wav", "pop/a.wav")
    assert pictures(tmp_path) == {
        "pop/a.wav": "pop/a.png",
        "rock/a.flac": "rock/a.flac.png",
        "rock/a.wav": "rock/a.wav.png",
        "rock/a.wav.wav": "rock/a.wav.wav.png",
        "rock/b.wav": "rock/b.png",
    }


def test_hidden_and_other_files_are_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "rock/a.wav", "rock/.b.wav", ".git/c.wav", "rock/.d/e.wav")
    (tmp_path / "rock" / "cover.jpg").touch()
    assert list(pictures(tmp_path)) == ["rock/a.wav"]


def test_files_without_a_class_are_named(tmp_path: Path) -> None:
    fill(tmp_path, "rock/a.wav", "stray.wav")
    assert render.plan(tmp_path, tmp_path)[1] == [tmp_path / "stray.wav"]


def test_trees_without_a_class(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere in"):
        render.plan(tmp_path, tmp_path)
    fill(tmp_path, "a.wav")
    with pytest.raises(ValueError, match="the folder above"):
        render.plan(tmp_path, tmp_path)
    with pytest.raises(ValueError, match="not a folder"):
        render.plan(tmp_path / "none", tmp_path)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_tree_becomes_a_data_set(tmp_path: Path, jobs: int) -> None:
    fill(tmp_path / "music", "rock/a.wav", "rock/A/a.flac", "pop/b.wav")
    (tmp_path / "music" / "pop" / "note.mp3").write_text("not music")
    (tmp_path / "music" / "pop" / "rest.wav").write_bytes(encode(np.zeros(4 * 22_050, dtype=np.float32)))
    found = {drawn.drawing.song.name: drawn for drawn in draw(tmp_path / "music", tmp_path / "out", jobs)}
    assert {name for name, drawn in found.items() if drawn.new} == {"a.wav", "a.flac", "b.wav"}
    assert "not audio" in found["note.mp3"].problem
    assert found["rest.wav"].problem == "the song is silent from beginning to end"
    tracks = track_files.find_tracks(tmp_path / "out")
    assert sorted((track.genre, track.path.name) for track in tracks) == [
        ("pop", "b.png"),
        ("rock", "a.png"),
        ("rock", "a.png"),
    ]
    for drawn in found.values():
        if drawn.new:
            assert np.array_equal(read_png(drawn.drawing.picture), song.levels(drawn.drawing.song))
    assert {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()} == {".png"}


def test_only_what_lacks_is_drawn_again(tmp_path: Path) -> None:
    fill(tmp_path / "music", "rock/kept.wav", "rock/newer.wav", "rock/half.wav", "rock/gone.wav")
    draw(tmp_path / "music", tmp_path / "out")
    out = tmp_path / "out" / "images_original" / "rock"
    (tmp_path / "music" / "rock" / "newer.wav").write_bytes(encode(tone(990, seconds=3)))
    later = (out / "newer.png").stat().st_mtime + 10
    os.utime(tmp_path / "music" / "rock" / "newer.wav", (later, later))
    half = (out / "half.png").read_bytes()
    (out / "half.png").write_bytes(half[: len(half) // 2])
    (out / "gone.png").unlink()
    before = (out / "kept.png").stat().st_mtime_ns
    assert {drawn.drawing.song.stem for drawn in draw(tmp_path / "music", tmp_path / "out") if drawn.new} == {
        "newer",
        "half",
        "gone",
    }
    assert (out / "kept.png").stat().st_mtime_ns == before
    for name in ("kept", "newer", "half", "gone"):
        assert np.array_equal(read_png(out / f"{name}.png"), song.levels(tmp_path / "music" / "rock" / f"{name}.wav"))


def test_ending_early_leaves_whole_pictures_alone(tmp_path: Path) -> None:
    fill(tmp_path / "music", *(f"rock/{number}.wav" for number in range(6)))
    drawings, _ = render.plan(tmp_path / "music", tmp_path / "out")
    results = render.draw(drawings, jobs=1)
    next(results), next(results)
    results.close()
    there = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(there) == 2
    for path in there:
        read_png(path)
    assert sum(drawn.new for drawn in render.draw(drawings, jobs=1)) == 4


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    fill(tmp_path / "music", "rock/a.wav", "pop/b.wav")
    (tmp_path / "out" / "images_original").mkdir(parents=True)
    (tmp_path / "out" / "images_original" / "rock").touch()
    found = {drawn.drawing.song.name: drawn for drawn in draw(tmp_path / "music", tmp_path / "out")}
    assert "cannot be written" in found["a.wav"].problem
    assert found["b.wav"].new


def test_a_song_counts_by_its_middle_and_says_where_it_is_silent(tmp_path: Path) -> None:
    sound = tone(440, seconds=20)
    (tmp_path / "a.wav").write_bytes(encode(np.concatenate([sound, np.zeros(40 * 22_050, dtype=np.float32), sound])))
    with pytest.raises(ValueError, match="middle 30 s"):
        song.levels(tmp_path / "a.wav")


def test_a_drawing_names_both_files(tmp_path: Path) -> None:
    fill(tmp_path, "rock/a.wav")
    [drawing] = render.plan(tmp_path, tmp_path / "out")[0]
    assert drawing == Drawing(tmp_path / "rock/a.wav", tmp_path / "out/images_original/rock/a.png")


def test_writing_leaves_what_was_there_if_it_fails(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"one")
    write_atomically(tmp_path / "a", b"two")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", b"three")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder"]
