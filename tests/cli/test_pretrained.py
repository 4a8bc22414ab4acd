"""`raygenre pretrained`, and `raygenre predict` with the pretrained network's tags."""

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from raygenre.cli import app
from raygenre.pretrained.install import SHA256, TAGS, install
from raygenre.pretrained.store import default_folder
from raygenre.workflows import predict_tags
from raygenre.workflows.predict_tags import TaggedSong, tag_songs
from tests.helpers.musicnn import wheel

RUNNER = CliRunner()
NOTE = "pretrained tags, not your genres"


def run(*arguments: object) -> Result:
    return RUNNER.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a cache in which nothing is installed."""
    monkeypatch.setenv("RAYGENRE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def installed(cache: Path) -> Path:
    """Install a small network with random weights."""
    cache.mkdir()
    path, sha256 = wheel(cache)
    install(path, sha256=sha256)
    return default_folder()


def test_show_says_whether_the_network_is_installed(cache: Path) -> None:
    result = run("pretrained", "show")
    assert result.exit_code == 1
    assert "not installed: `raygenre pretrained install`" in result.stdout
    cache.mkdir()
    path, sha256 = wheel(cache)
    about = install(path, sha256=sha256)
    result = run("pretrained", "show")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"MSD_musicnn is installed in {cache / 'pretrained' / 'MSD_musicnn'}"
    assert "source: the Python package musicnn 0.1.0" in lines[1]
    assert lines[2:4] == ["licence: ISC", f"weights: SHA-256 {about.sha256}"]


def test_a_wheel_with_another_hash_is_not_installed(cache: Path, tmp_path: Path) -> None:
    path, _ = wheel(tmp_path)
    result = run("pretrained", "install", "--from", path)
    assert result.exit_code == 2
    assert f"{path} is not the wheel of musicnn 0.1.0: its SHA-256 is" in result.stderr
    assert SHA256 in result.stderr
    assert not cache.exists()
    missing = run("pretrained", "install", "--from", tmp_path / "missing.whl")
    assert missing.exit_code == 2
    assert "missing.whl cannot be read" in missing.stderr


@pytest.mark.usefixtures("installed")
def test_tags_are_a_bar_chart(song: Path) -> None:
    result = run("predict", "--tags", song)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].strip() == "bells.flac"
    chart = [line.split("█") for line in lines[1:6]]
    assert {parts[0].strip() for parts in chart} <= set(TAGS)
    assert all(parts[-1].rstrip().endswith(" %") for parts in chart)
    shares = [int(parts[-1].strip(" %\n")) for parts in chart]
    assert shares == sorted(shares, reverse=True)
    assert lines[6].startswith(f"{NOTE}: MSD_musicnn learnt its 50 tags from 200 000 songs; ")


@pytest.mark.usefixtures("installed")
def test_a_chart_keeps_long_names_whole_and_json_exact(song: Path, tmp_path: Path) -> None:
    long = tmp_path / "a name that is much longer than the bar chart of the tags below it is wide, and its line.flac"
    broken = tmp_path / "line\nbreak.flac"
    for path in (long, broken):
        shutil.copy(song, path)
    assert run("predict", "--tags", long).stdout.splitlines()[0] == long.name
    for path in (broken, tmp_path / "missing\n.mp3"):
        assert json.loads(run("predict", "--tags", path, song, "--json").stdout.splitlines()[0])["file"] == str(path)


@pytest.mark.usefixtures("installed")
def test_tags_interrupted_by_ctrl_c_say_how_many_there_are(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Iterator[TaggedSong]:
        yield from islice(tag_songs(*arguments, **options), 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(predict_tags, "tag_songs", interrupted)
    songs = [song, song.parent / "missing.flac"]
    result = run("predict", "--tags", *songs)
    assert result.exit_code == 130
    assert "interrupted after 1 of 2 songs" in result.stdout.splitlines()
    result = run("predict", "--tags", *songs, "--json")
    assert result.exit_code == 130
    assert "interrupted after 1 of 2 songs" in result.stderr.splitlines()
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.usefixtures("installed")
def test_all_tags_and_windows_are_in_json(album: Path, tmp_path: Path) -> None:
    result = run("predict", "--tags", album / "long.flac", album / "rest.wav", tmp_path / "missing.mp3", "--json")
    assert result.exit_code == 1
    song, silent, missing = map(json.loads, result.stdout.splitlines())
    assert song["note"] == NOTE
    assert song["model"] == "MSD_musicnn"
    assert song["licence"] == "ISC"
    assert set(song["tags"]) == set(TAGS)
    shares = list(song["tags"].values())
    assert shares == sorted(shares, reverse=True)
    assert 0 <= shares[-1] <= shares[0] <= 1
    assert song["best"] == list(song["tags"])[:5]
    assert [(window["start"], round(window["end"], 2)) for window in song["windows"]] == [(0, 29.92), (29.92, 59.84)]
    assert silent["error"] == "the song is silent from beginning to end"
    assert missing["error"] == "No such file or directory"
    assert "missing.mp3: No such file or directory" in result.stderr


@pytest.mark.usefixtures("installed")
def test_without_a_champion_tags_are_the_answer(song: Path, tmp_path: Path) -> None:
    result = run("predict", song, "--storage", tmp_path)
    assert result.exit_code == 0, result.output
    assert f"{NOTE}: there is no model models:/raygenre@champion" in result.stderr
    assert "make tune" in result.stderr
    assert "█" in result.stdout
    [record] = map(json.loads, run("predict", song, "--storage", tmp_path, "--json").stdout.splitlines())
    assert record["note"] == NOTE
    table = run("predict", song, "--storage", tmp_path, "-o", tmp_path / "genres.csv")
    assert table.exit_code == 2
    assert "there is no model models:/raygenre@champion" in table.stderr
    assert not (tmp_path / "genres.csv").exists()


@pytest.mark.usefixtures("cache")
def test_the_network_is_offered_where_it_is_missing(song: Path, tmp_path: Path) -> None:
    result = run("predict", song, "--storage", tmp_path)
    assert result.exit_code == 2
    assert "train one with `make tune`" in result.stderr
    assert "Or: `raygenre pretrained install`" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    tags = run("predict", "--tags", song)
    assert tags.exit_code == 2
    assert "MSD_musicnn is not installed in" in tags.stderr
    assert "run `raygenre pretrained install`" in tags.stderr


def test_tags_have_no_table_and_no_model(song: Path, model: str) -> None:
    for options in (["-o", "tags.csv"], ["--plot", "song.png"], ["--model", model]):
        result = run("predict", "--tags", song, *options)
        assert result.exit_code == 2
        assert "--tags prints a chart" in result.stderr
