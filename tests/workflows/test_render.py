import os
from pathlib import Path

import numpy as np
import pytest

from raygenre.data import track_files
from raygenre.spectrogram import song
from raygenre.spectrogram.image import read_png
from raygenre.workflows.render import RenderResult, RenderTarget, plan_renders, render_all
from tests.helpers.sounds import encode, tone

WAV = encode(tone(440, seconds=3))
FLAC = encode(tone(880, seconds=3), "flac", "flac")


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WAV if path.suffix == ".wav" else FLAC)


def images(source: Path) -> dict[str, str]:
    """Return the image path for each song path; each is relative to its own folder."""
    targets = plan_renders(source, Path("out")).targets
    names = {
        str(target.song.relative_to(source)): str(target.image.relative_to("out/images_original")) for target in targets
    }
    assert len(set(names.values())) == len(names)
    return names


def render_folder(source: Path, output: Path, jobs: int = 1) -> list[RenderResult]:
    return list(render_all(plan_renders(source, output).targets, jobs=jobs))


def test_gtzan_names_become_kaggles_names(tmp_path: Path) -> None:
    fill(tmp_path, "blues/blues.00000.wav", "blues/jazz.00000.wav", "blues/blues.1.wav", "jazz/So What.FLAC")
    assert images(tmp_path) == {
        "blues/blues.00000.wav": "blues/blues00000.png",
        "blues/blues.1.wav": "blues/blues.1.png",
        "blues/jazz.00000.wav": "blues/jazz.00000.png",
        "jazz/So What.FLAC": "jazz/So What.png",
    }


def test_unpacked_kaggle_recordings_are_found(tmp_path: Path) -> None:
    fill(tmp_path, "Data/genres_original/blues/blues.00000.wav", "Data/genres_original/jazz/jazz.00000.wav")
    assert sorted(images(tmp_path).values()) == ["blues/blues00000.png", "jazz/jazz00000.png"]


def test_deeper_folders_are_kept(tmp_path: Path) -> None:
    fill(tmp_path, "rock/A/First/01.wav", "rock/A/Second/01.wav", "rock/01.wav")
    assert sorted(images(tmp_path).values()) == ["rock/01.png", "rock/A/First/01.png", "rock/A/Second/01.png"]


def test_equal_stems_keep_their_suffixes(tmp_path: Path) -> None:
    fill(tmp_path, "rock/a.wav", "rock/a.flac", "rock/a.wav.wav", "rock/b.wav", "pop/a.wav")
    assert images(tmp_path) == {
        "pop/a.wav": "pop/a.png",
        "rock/a.flac": "rock/a.flac.png",
        "rock/a.wav": "rock/a.wav.png",
        "rock/a.wav.wav": "rock/a.wav.wav.png",
        "rock/b.wav": "rock/b.png",
    }


def test_hidden_and_other_files_are_skipped(tmp_path: Path) -> None:
    fill(tmp_path, "rock/a.wav", "rock/.b.wav", ".git/c.wav", "rock/.d/e.wav")
    (tmp_path / "rock" / "cover.jpg").touch()
    assert list(images(tmp_path)) == ["rock/a.wav"]


def test_files_without_a_class_are_returned(tmp_path: Path) -> None:
    fill(tmp_path, "rock/a.wav", "stray.wav")
    assert plan_renders(tmp_path, tmp_path).classless == [tmp_path / "stray.wav"]


def test_folders_without_a_class_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="contains none"):
        plan_renders(tmp_path, tmp_path)
    fill(tmp_path, "a.wav")
    with pytest.raises(ValueError, match="its parent folder"):
        plan_renders(tmp_path, tmp_path)
    with pytest.raises(ValueError, match="not a folder"):
        plan_renders(tmp_path / "none", tmp_path)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_folder_becomes_a_data_set(tmp_path: Path, jobs: int) -> None:
    fill(tmp_path / "music", "rock/a.wav", "rock/A/a.flac", "pop/b.wav")
    (tmp_path / "music" / "pop" / "note.mp3").write_text("not music")
    (tmp_path / "music" / "pop" / "rest.wav").write_bytes(encode(np.zeros(4 * 22_050, dtype=np.float32)))
    results = {result.target.song.name: result for result in render_folder(tmp_path / "music", tmp_path / "out", jobs)}
    assert {name for name, result in results.items() if result.is_new} == {"a.wav", "a.flac", "b.wav"}
    assert "neither a PNG nor audio" in results["note.mp3"].error
    assert results["rest.wav"].error == "the song is silent from beginning to end"
    tracks = track_files.read_folder(tmp_path / "out").paths
    assert sorted((track.genre, track.path.name) for track in tracks) == [
        ("pop", "b.png"),
        ("rock", "a.png"),
        ("rock", "a.png"),
    ]
    for result in results.values():
        if result.is_new:
            assert np.array_equal(read_png(result.target.image), song.middle_levels(result.target.song))
    assert {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()} == {".png"}


def test_only_missing_images_are_rendered_again(tmp_path: Path) -> None:
    fill(tmp_path / "music", "rock/kept.wav", "rock/newer.wav", "rock/half.wav", "rock/gone.wav")
    render_folder(tmp_path / "music", tmp_path / "out")
    out = tmp_path / "out" / "images_original" / "rock"
    (tmp_path / "music" / "rock" / "newer.wav").write_bytes(encode(tone(990, seconds=3)))
    later = (out / "newer.png").stat().st_mtime + 10
    os.utime(tmp_path / "music" / "rock" / "newer.wav", (later, later))
    half = (out / "half.png").read_bytes()
    (out / "half.png").write_bytes(half[: len(half) // 2])
    (out / "gone.png").unlink()
    before = (out / "kept.png").stat().st_mtime_ns
    again = render_folder(tmp_path / "music", tmp_path / "out")
    assert {result.target.song.stem for result in again if result.is_new} == {"newer", "half", "gone"}
    assert (out / "kept.png").stat().st_mtime_ns == before
    for name in ("kept", "newer", "half", "gone"):
        assert np.array_equal(
            read_png(out / f"{name}.png"), song.middle_levels(tmp_path / "music" / "rock" / f"{name}.wav")
        )


def test_stopping_early_leaves_only_complete_images(tmp_path: Path) -> None:
    fill(tmp_path / "music", *(f"rock/{number}.wav" for number in range(6)))
    targets = plan_renders(tmp_path / "music", tmp_path / "out").targets
    results = render_all(targets, jobs=1)
    next(results), next(results)
    results.close()
    images = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(images) == 2
    for path in images:
        read_png(path)
    assert sum(result.is_new for result in render_all(targets, jobs=1)) == 4


def test_an_image_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    fill(tmp_path / "music", "rock/a.wav", "pop/b.wav")
    (tmp_path / "out" / "images_original").mkdir(parents=True)
    (tmp_path / "out" / "images_original" / "rock").touch()
    results = {result.target.song.name: result for result in render_folder(tmp_path / "music", tmp_path / "out")}
    assert "cannot be written" in results["a.wav"].error
    assert results["b.wav"].is_new


def test_silence_in_the_middle_30_s_is_an_error(tmp_path: Path) -> None:
    sound = tone(440, seconds=20)
    (tmp_path / "a.wav").write_bytes(encode(np.concatenate([sound, np.zeros(40 * 22_050, dtype=np.float32), sound])))
    with pytest.raises(ValueError, match="middle 30 s"):
        song.middle_levels(tmp_path / "a.wav")


def test_a_target_has_both_files(tmp_path: Path) -> None:
    fill(tmp_path, "rock/a.wav")
    [target] = plan_renders(tmp_path, tmp_path / "out").targets
    assert target == RenderTarget(tmp_path / "rock/a.wav", tmp_path / "out/images_original/rock/a.png")


def test_dangling_links_and_pipes_are_named_in_plain_words(tmp_path: Path) -> None:
    fill(tmp_path, "rock/a.wav")
    (tmp_path / "rock" / "gone.mp3").symlink_to("nowhere")
    os.mkfifo(tmp_path / "rock" / "pipe.mp3")
    results = render_folder(tmp_path, tmp_path / "out")
    assert {result.target.song.name: result.error for result in results} == {
        "a.wav": "",
        "gone.mp3": "No such file or directory",
        "pipe.mp3": "it is not a regular file",
    }
