"""`raygenre render`."""

from pathlib import Path

import numpy as np
from typer.testing import CliRunner, Result

from raygenre import spectrogram
from raygenre.cli import app
from raygenre.inputs.levels import LEVELS

RUNNER = CliRunner()


def render(source: Path, output: Path, *options: str) -> Result:
    return RUNNER.invoke(app, ["render", str(source), "-o", str(output), *options])


def test_render_makes_a_data_set_of_a_folder(album: Path, tmp_path: Path) -> None:
    stray = album.parent / "stray.wav"
    stray.write_bytes((album / "short.wav").read_bytes())
    first = render(album.parent, tmp_path / "out", "--jobs", "1")
    assert first.exit_code == 1
    assert f"2 rendered into {tmp_path / 'out'}, 2 failed" in first.stdout.splitlines()
    assert "rest.wav: the song is silent" in first.stderr
    assert "stray.wav: it is not in a <class>/ folder" in first.stderr
    folder = tmp_path / "out" / "images_original" / "album"
    assert sorted(path.name for path in folder.iterdir()) == ["long.png", "short.png"]
    moved = folder.rename(folder.with_name("other")) / "long.png"
    again = render(album.parent, tmp_path / "out")
    assert "2 rendered" in again.stdout
    assert f"2 images belong to no song and can be deleted, such as {moved}" in again.stdout.splitlines()
    once_more = render(album.parent, tmp_path / "out")
    assert "0 rendered" in once_more.stdout
    assert "2 already existed" in once_more.stdout


def test_render_rejects_wrong_paths(song: Path, album: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for source, output, message in (
        (song, tmp_path / "out.jpg", "must end in .png"),
        (tmp_path / "none.mp3", tmp_path / "out.png", "does not exist"),
        (album, tmp_path / "out", "pass its parent folder"),
        (album.parent, tmp_path / "file", "is a file"),
        (song, tmp_path / "nowhere" / "out.png", "cannot be written"),
    ):
        result = render(source, output)
        assert result.exit_code == 2
        assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_render_writes_the_datasets_image(song: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["render", str(song), "-o", str(tmp_path / "bells.png")])
    assert result.exit_code == 0, result.output
    assert np.array_equal(spectrogram.read_png(tmp_path / "bells.png"), LEVELS.read(song).windows[0])
    assert [path.name for path in tmp_path.iterdir()] == ["bells.png"]


def test_render_of_a_file_that_is_not_audio_writes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "note.mp3"
    source.write_text("not music")
    result = RUNNER.invoke(app, ["render", str(source), "-o", str(tmp_path / "out.png")])
    assert result.exit_code == 2
    assert "note.mp3" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["note.mp3"]
