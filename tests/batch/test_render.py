"""Rendering on a Ray cluster produces the same images as rendering on one machine.

Rendering folders is tested in tests/cli/test_cluster.py.
"""

import os
from pathlib import Path

import pytest

from raygenre.batch.render import plan_batch, render_all
from raygenre.data.track_files import DataError
from raygenre.system.location import Location
from raygenre.workflows import render as local


def images(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def test_images_are_those_of_one_machine(ray_cluster: None, music: Path, tmp_path: Path) -> None:
    list(local.render_all(local.plan_renders(music, tmp_path / "local").targets, jobs=1))
    output = Location(f"file://{tmp_path}/batch")
    outcomes = list(render_all(plan_batch(f"file://{music}", output), output, jobs=1))
    assert images(tmp_path / "batch") == images(tmp_path / "local")
    assert sum(outcome.is_new for outcome in outcomes) == 3
    errors = {Path(outcome.song).name: outcome.error for outcome in outcomes if outcome.error}
    assert errors.keys() == {"rest.wav", "note.mp3"}


@pytest.mark.parametrize("source", ["", "file://"])
def test_images_that_are_not_older_are_kept(music: Path, tmp_path: Path, source: str) -> None:
    output = Location(f"file://{tmp_path}")
    folder = tmp_path / "images_original" / "jazz"
    folder.mkdir(parents=True)
    for name in ("b.png", "rest.png"):
        (folder / name).touch()
    os.utime(folder / "rest.png", (0, 0))
    plan = plan_batch(f"{source}{music}", output)
    assert plan.kept == 1
    names = [Path(path).name for path in plan.table["path"].to_pylist()]
    assert names == ["long.flac", "short.wav", "note.mp3", "rest.wav"]


def test_songs_need_class_folders(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").touch()
    for source in (f"file://{tmp_path}", str(tmp_path)):
        with pytest.raises(DataError, match="requires <class>/ folders with audio files"):
            plan_batch(source, Location(str(tmp_path / "out")))
