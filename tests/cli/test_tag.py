"""`raygenre tag`."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from raygenre.cli import app
from raygenre.cli.tag_report import print_plans
from raygenre.inputs.levels import LEVELS
from raygenre.model.calibration import Calibration
from raygenre.model.classifier import Classifier
from raygenre.tagging.formats.base import Provenance
from raygenre.tagging.log import LogError, Record, TagLog
from raygenre.tagging.open_tags import open_tags, present_genre
from raygenre.tagging.plan import Plan
from tests.helpers.tagged import new_song

SECONDS = 3.5  # long enough for a prediction


@pytest.fixture(scope="module")
def certain(model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of an untrained classifier that is never uncertain."""
    folder = tmp_path_factory.mktemp("certain") / "certain"
    replace(Classifier.load(Path(model)), calibration=Calibration(1.0, 0.0)).save(folder)
    return str(folder)


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the subfolder `music` of the current folder, which contains two songs, one of them with genres."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "music"
    folder.mkdir()
    new_song(folder / "new [bold]x.flac", seconds=SECONDS)
    set_genres(new_song(folder / "old.mp3", seconds=SECONDS), "Rock", "Pop")
    return folder


def set_genres(path: Path, *genres: str) -> None:
    tags = open_tags(path)
    tags.set(genres, None)
    tags.save(path)


def tag(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["tag", *map(str, arguments)])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def prediction(model: str, song: Path) -> str:
    return Classifier.load(Path(model)).predict(LEVELS.read(song)).genre


def test_the_preview_writes_nothing(certain: str, music: Path) -> None:
    before = contents(music)
    result = tag("music", "--model", certain)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["file", "present", "predicted", "confidence", "to", "do"]
    assert rows[1][:4] == ["new", "[bold]x.flac", "–", prediction(certain, music / "new [bold]x.flac")]
    assert rows[1][-1] == "write"
    assert rows[2] == ["old.mp3", "Rock;", "Pop", "–", "–", "kept"]
    assert "2 songs: 1 to write, 1 kept" in result.stdout.splitlines()
    assert contents(music) == before
    assert {path.name for path in music.parent.iterdir()} == {"music", "results"}  # results contains cached predictions


def test_written_genres_are_taken_back(certain: str, music: Path) -> None:
    before, song = contents(music), music / "new [bold]x.flac"
    result = tag("music", "--write", "--model", certain)
    assert result.exit_code == 0, result.output
    assert "2 songs: 1 written, 1 kept" in result.stdout.splitlines()
    assert result.stdout.splitlines()[-1] == "to undo this: raygenre tag --undo raygenre-tags.jsonl"
    assert present_genre(song).genres == (prediction(certain, song),)
    assert open_tags(song).provenance == {}
    again = tag("music", "--write", "--model", "nowhere")  # no model is needed, because nothing has to be predicted
    assert again.exit_code == 0, again.output
    assert "2 songs: 2 kept" in again.stdout.splitlines()
    undone = tag("--undo", "raygenre-tags.jsonl")
    assert (undone.exit_code, undone.stdout) == (0, "1 song: 1 restored completely\n")
    assert contents(music) == before
    assert tag("--undo", "raygenre-tags.jsonl").stdout == "1 song: 1 unchanged\n"


def test_genres_are_overwritten_under_the_users_names(certain: str, music: Path) -> None:
    Path("genres.yaml").write_text(
        "\n".join(f"{genre}: [{genre.title()}, Ünï]" for genre in ("bells", "drone", "storm"))
    )
    arguments = ["music", "--overwrite", "--write", "--map", "genres.yaml", "--provenance", "--model", certain]
    result = tag(*arguments, "--log", "log")
    assert result.exit_code == 0, result.output
    for song in music.iterdir():
        assert present_genre(song).genres == (prediction(certain, song).title(), "Ünï")
        assert set(open_tags(song).provenance) == {"raygenre_model", "raygenre_confidence"}
        assert open_tags(song).provenance["raygenre_model"] == "certain"
    assert "2 songs: 2 already with this genre" in tag(*arguments).stdout.splitlines()
    (entry, *_) = sorted(Path("results").rglob("predictions/*/*"))
    assert len([*entry.parents[1].glob("*/*")]) == 4  # two entries per song, one without and one with the new tag
    set_genres(music / "old.mp3", "Changed since")
    undone = tag("--undo", "log")
    assert undone.exit_code == 1
    assert undone.stdout == "2 songs: 1 restored completely, 1 left\n"
    assert "old.mp3: its genre has been changed since; the file was left unchanged" in undone.stderr
    assert present_genre(music / "old.mp3").genres == ("Changed since",)


def test_a_full_log_does_not_hide_what_was_written(certain: str, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, append = contents(music), TagLog.append

    def append_once(log: TagLog, record: Record) -> None:
        if log.path.stat().st_size:
            raise LogError("the log is full")
        append(log, record)

    monkeypatch.setattr(TagLog, "append", append_once)
    result = tag("music", "--overwrite", "--write", "--model", certain)
    assert (result.exit_code, result.stderr) == (2, "error: the log is full\n")
    assert result.stdout.splitlines()[-2:] == [
        "1 song: 1 written",
        "to undo this: raygenre tag --undo raygenre-tags.jsonl",
    ]
    assert tag("--undo", "raygenre-tags.jsonl").exit_code == 0
    assert contents(music) == before


def test_nothing_is_written_where_the_model_is_uncertain(model: str, music: Path) -> None:
    replace(Classifier.load(Path(model)), calibration=Calibration(1.0, 1.0)).save(Path("uncertain"))
    before = contents(music)
    result = tag("music", "--overwrite", "--write", "--model", "uncertain")
    assert result.exit_code == 0, result.output
    assert "2 songs: 2 uncertain" in result.stdout.splitlines()
    assert "--undo" not in result.stdout
    assert contents(music) == before


def test_genres_of_a_model_of_synthetic_sounds_are_not_written(synthetic_model: str, music: Path) -> None:
    before = contents(music)
    assert "warning: synthetic was trained on synthetic sounds" in tag("music", "--model", synthetic_model).stderr
    result = tag("music", "--write", "--model", synthetic_model)
    assert result.exit_code == 2
    assert "so they are not written; choose another --model" in result.stderr
    assert contents(music) == before


def test_files_that_cannot_be_tagged_are_named(certain: str, music: Path) -> None:
    new_song(music / "locked.wav").chmod(0o444)
    (music / "b.wav").hardlink_to(new_song(music / "a.wav"))
    (music / "note.mp3").write_text("not music")
    shutil.copy(music / "new [bold]x.flac", music / "two\nlines.flac")
    result = tag("music", "--write", "--model", certain)
    assert result.exit_code == 1, result.output
    assert "7 songs: 2 written, 1 kept, 4 failed" in result.stdout.splitlines()
    assert r"two\nlines.flac" in result.stdout
    [*errors] = result.stderr.splitlines()
    reasons = {
        "a.wav": "it has 2 hard links",
        "b.wav": "it has 2 hard links",
        "locked.wav": "it is read-only",
        "note.mp3": "the file is neither a PNG nor audio: it is text",
    }
    for error, (name, reason) in zip(errors, reasons.items(), strict=True):
        assert error.startswith(f"error: music/{name}: {reason}")


def test_the_provenance_of_a_present_genre_is_written(certain: str, music: Path) -> None:
    for song in music.iterdir():
        set_genres(song, prediction(certain, song))
    tags = open_tags(music / "old.mp3")
    tags.set(tags.genres, Provenance("an earlier model", 0.5))
    tags.save(music / "old.mp3")
    before = contents(music)
    arguments = ["music", "--overwrite", "--provenance", "--model", certain]
    preview = tag(*arguments)
    assert "2 songs: 2 to write" in preview.stdout.splitlines()
    assert preview.stdout.splitlines()[1].split()[-1] == "provenance"
    assert contents(music) == before
    assert "2 songs: 2 written" in tag(*arguments, "--write").stdout.splitlines()
    for song in music.iterdir():
        assert present_genre(song).genres == (prediction(certain, song),)
        assert open_tags(song).provenance["raygenre_model"] == "certain"
    assert "2 songs: 2 already with this genre" in tag(*arguments, "--write").stdout.splitlines()
    assert tag("--undo", "raygenre-tags.jsonl").exit_code == 0
    assert contents(music) == before


def test_the_table_gives_the_files_name_the_room(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a_name_of_28_characters.flac"
    plans = [
        Plan(Path(f"/music/{name}"), "keep", ("Electronic",), reason="kept"),
        Plan(
            Path("/music/b.wav"),
            "keep",
            ("Rock & Roll", "Alternative"),
            ("Alternative",),
            0.5,
            "kept: stored elsewhere",
        ),
    ]
    print_plans(plans, Path("/music"), written=False)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[0] == name for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("source", ["urls.m3u", "empty"])
def test_sources_without_songs_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("urls.m3u").write_text("http://example.org/song.mp3\n")
    Path("empty").mkdir()
    result = tag(source, "--write", "--model", "nowhere")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(("skipped: urls.m3u: http://", "error: empty: the folder contains no audio file"))
    assert not Path("raygenre-tags.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "specify the songs or folders to tag, or use --undo LOG"),
        (["music", "--undo", "log"], "--undo LOG cannot be combined with songs or other options"),
        (["--undo", "log", "--overwrite"], "--undo LOG cannot be combined with songs or other options"),
        (["--undo", "log", "--map", "genres.yaml"], "--undo LOG cannot be combined with songs or other options"),
        (["--undo", "log", "--provenance"], "--undo LOG cannot be combined with songs or other options"),
        (["--undo", "log", "--model", "nowhere"], "--undo LOG cannot be combined with songs or other options"),
        (["--undo", "log", "--log", "other"], "--undo LOG cannot be combined with songs or other options"),
        (["--undo", "log"], "the log log cannot be read: No such file"),
        (["music", "--write", "--log", "missing/log"], "the folder missing does not exist"),
        (["music", "--map", "genres.yaml"], "genres.yaml cannot be read: No such file"),
        (["music", "--model", "nowhere"], "nowhere cannot be loaded"),
    ],
)
def test_wrong_arguments_are_refused(music: Path, arguments: list[str], message: str) -> None:
    result = tag(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
