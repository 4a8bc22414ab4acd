"""Rendering on a Ray cluster: the same images as on one machine."""

import os
from pathlib import Path

import pytest

from raygenre.batch.render import plan_batch, render_all
from raygenre.system.location import Location
from raygenre.workflows import render as local

pytestmark = pytest.mark.usefixtures("ray_cluster")


def images(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


@pytest.mark.parametrize(("source", "target"), [("", ""), ("file://", "file://"), ("", "file://")])
def test_images_are_those_of_one_machine_and_kept(music: Path, tmp_path: Path, source: str, target: str) -> None:
    list(local.render_all(local.plan_renders(music, tmp_path / "local").targets, jobs=1))
    output = Location(f"{target}{tmp_path}/batch")
    plan = plan_batch(f"{source}{music}", output)
    outcomes = list(render_all(plan, output, jobs=1))
    assert images(tmp_path / "batch") == images(tmp_path / "local")
    assert sum(outcome.is_new for outcome in outcomes) == 3
    errors = {Path(outcome.song).name: outcome.error for outcome in outcomes if outcome.error}
    assert errors.keys() == {"rest.wav", "note.mp3"}
    image = tmp_path / "batch" / "images_original" / "jazz" / "b.png"
    os.utime(image, (0, 0))
    again = plan_batch(f"{source}{music}", output)
    assert [outcome.song for outcome in render_all(again, output, jobs=1) if outcome.is_new] == [
        f"{source}{music}/jazz/b.mp3"
    ]
    assert again.kept == (2 if source or target else 0)
