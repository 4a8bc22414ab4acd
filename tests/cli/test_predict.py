"""`raygenre predict`."""

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from mutagen.flac import FLAC
from PIL import Image
from typer.testing import CliRunner, Result

from raygenre.cli import app
from raygenre.data import playlist
from raygenre.inputs.levels import LEVELS
from raygenre.model.calibration import Calibration
from raygenre.model.classifier import Classifier
from raygenre.registry import versions
from raygenre.workflows.timeline import percent
from tests.conftest import FinishedSearch
from tests.helpers.sounds import encode, noise

RUNNER = CliRunner()


def test_predict_prints_the_librarys_prediction(finished: FinishedSearch, song: Path) -> None:
    result = RUNNER.invoke(app, ["predict", "--json", "--storage", str(finished.storage.root), str(song)])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    expected = versions.fetch(finished.server).classifier.predict(LEVELS.read(song))
    assert record["genre"] == expected.genre
    assert record["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
    assert record["model"] == f"raygenre/{finished.outcome.version}"


def test_predict_lists_unusable_files_and_continues(finished: FinishedSearch, song: Path, tmp_path: Path) -> None:
    (tmp_path / "note.mp3").write_text("not music")
    files = [str(tmp_path / "note.mp3"), str(tmp_path / "missing.wav"), str(song)]
    result = RUNNER.invoke(app, ["predict", "--storage", str(finished.storage.root), *files])
    assert result.exit_code == 1
    assert "bells.flac" in result.stdout
    assert "note.mp3: the file is neither a PNG nor audio: it is text" in result.stderr
    assert "missing.wav" in result.stderr


def test_predict_refuses_songs_beyond_a_limit(finished: FinishedSearch, song: Path) -> None:
    arguments = ["predict", "--storage", str(finished.storage.root), "--longest", "20", str(song)]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 1
    assert "the audio is longer than the limit of 20 s" in result.stderr


@pytest.fixture(autouse=True)
def storage(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the prediction cache out of the storage of the user who runs the tests."""
    folder = tmp_path_factory.mktemp("storage")
    monkeypatch.setenv("RAYGENRE_STORAGE", str(folder))
    return folder


def predict(*arguments: object) -> Result:
    return RUNNER.invoke(app, ["predict", *map(str, arguments)])


def test_predict_prints_the_genres_of_a_long_song_over_time(model: str, album: Path) -> None:
    result = predict("--model", model, album / "list.m3u")
    assert result.exit_code == 0, result.output
    assert re.search(r"^long\.flac: 0:00–\d:\d\d (bells|drone|storm) \d+ %", result.stdout, re.MULTILINE)
    assert "skipped:" in result.stderr
    assert "https://host/radio" in result.stderr


def test_predict_reports_a_silent_song(model: str, album: Path) -> None:
    result = predict("--model", model, "--json", album)
    assert result.exit_code == 1
    long, rest, short = map(json.loads, result.stdout.splitlines())
    assert rest == {
        "file": str(album / "rest.wav"),
        "artist": "",
        "album": "",
        "title": "",
        "tagged_genres": [],
        "error": "the song is silent from beginning to end",
        "model": "untrained",
        "trained_on": {"kind": "unknown", "name": ""},
    }
    assert "rest.wav: the song is silent" in result.stderr
    assert [window["start"] for window in long["windows"]] == [0, pytest.approx(30, abs=0.1)]
    tags = {"artist", "album", "title", "tagged_genres", "agrees"}
    fields = {"file", "genre", "confidence", "uncertain", "probabilities", "windows", "model", "trained_on"} | tags
    assert set(short) == fields


@pytest.mark.parametrize(("threshold", "uncertain"), [(1.0, True), (0.0, False)])
def test_predict_marks_uncertain_songs(
    model: str, album: Path, tmp_path: Path, threshold: float, uncertain: bool
) -> None:
    calibrated = replace(Classifier.load(Path(model)), calibration=Calibration(1.0, threshold))
    calibrated.save(tmp_path / "calibrated")
    shares = calibrated.predict(LEVELS.read(album / "short.wav")).probabilities
    (first, most), *others = sorted(shares.items(), key=lambda item: -item[1])
    result = predict("--model", tmp_path / "calibrated", album / "short.wav")
    rest = ", ".join(f"{genre} {percent(share)}" for genre, share in others)
    assert re.search(rf"{first} +{percent(most)} +{rest}", result.stdout.replace(f"{first} uncertain", first))
    assert (f"{first} uncertain" in result.stdout) == uncertain


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_predict_writes_a_table(model: str, album: Path, tmp_path: Path, suffix: str) -> None:
    table = tmp_path / f"songs{suffix}"
    result = predict("--model", model, album, "-o", table)
    assert result.exit_code == 1
    rows = pd.read_csv(table) if suffix == ".csv" else pd.read_parquet(table)
    assert [Path(path).name for path in rows["path"]] == ["long.flac", "rest.wav", "short.wav"]
    assert rows["windows"].tolist()[0] == 2
    assert rows["error"].tolist()[1] == "the song is silent from beginning to end"
    assert [path.name for path in tmp_path.iterdir()] == [table.name]


WARNING = "synthetic was trained on synthetic sounds, not on music"


def test_predict_warns_about_a_model_of_synthetic_sounds(
    synthetic_model: str, model: str, album: Path, tmp_path: Path
) -> None:
    song, table = album / "short.wav", tmp_path / "songs.csv"
    assert WARNING in predict("--model", synthetic_model, song).stdout
    assert WARNING in predict("--model", synthetic_model, song, "-o", table).stdout
    assert pd.read_csv(table)["trained_on"].tolist() == ["synthetic"]
    [record] = map(json.loads, predict("--model", synthetic_model, song, "--json").stdout.splitlines())
    assert record["trained_on"] == {"kind": "synthetic", "name": "synthetic"}
    assert "warning" not in predict("--model", model, song).output


def test_predict_counts_uncertain_and_failed_songs_apart(synthetic_model: str, album: Path, tmp_path: Path) -> None:
    table = tmp_path / "songs.csv"
    summary = "3 songs: 2 uncertain; 1 failed"
    assert summary in predict("--model", synthetic_model, album).stdout.splitlines()
    assert f"{table}: {summary}" in predict("--model", synthetic_model, album, "-o", table).stdout.splitlines()


def test_predict_lists_only_the_first_of_many_failures(model: str, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    files = [music / f"{number:02d}.wav" for number in range(12)]
    for file in files:
        file.touch()
    table = tmp_path / "songs.csv"
    listed = predict("--model", model, music, "-o", table)
    assert listed.exit_code == 1
    assert f"{table}: 12 songs: 12 failed" in listed.stdout
    *errors, last = listed.stderr.splitlines()
    assert [error.partition(": the file is empty")[0] for error in errors] == [f"error: {file}" for file in files[:10]]
    assert last == f"and 2 more; all are listed in the column `error` of {table}"
    assert predict("--model", model, music, "--json").stderr.splitlines()[10:] == [
        "and 2 more; all are listed in the JSON lines"
    ]
    assert len(predict("--model", model, music).stderr.splitlines()) == 12  # all errors, as no other output lists them


def test_predict_tells_files_of_the_same_name_apart(model: str, album: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.wav").write_bytes((album / "short.wav").read_bytes())
    rows = predict("--model", model, tmp_path).stdout.splitlines()
    assert [row.split()[0] for row in rows[1:3]] == ["one/a.wav", "two/a.wav"]


def test_predict_prints_only_json_lines_with_json(model: str, album: Path, tmp_path: Path) -> None:
    table, plot, song = tmp_path / "songs.csv", tmp_path / "song.png", album / "short.wav"
    result = predict("--model", model, song, "--json", "-o", table, "--plot", plot)
    [record] = map(json.loads, result.stdout.splitlines())
    assert record["file"] == str(song)
    assert f"{table}: 1 song" in result.stderr
    assert f"Plot of {song}: {plot}" in result.stderr.splitlines()


def test_predict_plots_a_song(model: str, album: Path, tmp_path: Path) -> None:
    result = predict("--model", model, album / "long.flac", "--plot", tmp_path / "long.png")
    assert result.exit_code == 0, result.output
    assert f"Plot of {album / 'long.flac'}: {tmp_path / 'long.png'}" in result.stdout.splitlines()
    with Image.open(tmp_path / "long.png") as image:
        assert image.size == (1200, 500)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "songs.txt"], "must end in .csv or .parquet"),
        (["--plot", "song.jpg"], "must end in .png"),
        (["--model", "nowhere"], "nowhere cannot be loaded"),
    ],
)
def test_predict_rejects_wrong_options(album: Path, options: list[str], message: str) -> None:
    result = predict(album / "short.wav", *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_predict_plots_exactly_one_song(album: Path) -> None:
    result = predict(album, "--plot", "songs.png")
    assert result.exit_code == 2
    assert "--plot requires exactly one song, not 3" in result.stderr


@pytest.mark.parametrize(
    ("genres", "reason"),
    [
        (
            ["storm", "drone", "bells"],
            "genres, calibration or network in classifier.json are not those that were saved",
        ),
        (["bells", "bells", "drone"], "the genre 'bells' is listed 2 times"),
        ("abc", "the genres must be a list of names, not 'abc'"),
    ],
)
def test_predict_refuses_changed_genres(model: str, song: Path, tmp_path: Path, genres: object, reason: str) -> None:
    about = Path(shutil.copytree(model, tmp_path / "changed")) / "classifier.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"genres": genres}))
    result = predict("--model", about.parent, song)
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr


def test_predict_refuses_weights_that_are_not_finite(model: str, song: Path, tmp_path: Path) -> None:
    broken = Classifier.load(Path(model))
    with torch.no_grad():
        next(broken.model.parameters()).fill_(torch.nan)
    broken.save(tmp_path / "broken")
    result = predict("--model", tmp_path / "broken", song)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.search(r"values of the tensor \S+ are not finite numbers", result.stderr)


def test_predict_without_a_champion_names_make_tune(song: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["predict", "--storage", str(tmp_path), str(song)])
    assert result.exit_code == 2
    assert "make tune" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="session")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three songs, two of which are tagged with one of the model's genres."""
    root = tmp_path_factory.mktemp("tagged")
    for number, genre in enumerate(("Bells", "drone", "Folk")):
        path = root / f"{number}.flac"
        path.write_bytes(encode(noise(seconds=3 + number, seed=number), "flac", "flac"))
        file = FLAC(path)
        file.update({"artist": "Muddy Waters", "title": f"Song {number}", "album": "Songs", "genre": genre})
        file.save()
    return root


def test_predict_shows_tags_and_writes_playlists(model: str, tagged: Path, tmp_path: Path) -> None:
    certain = replace(Classifier.load(Path(model)), calibration=Calibration(1.0, 0.0))
    certain.save(tmp_path / "certain")
    model = str(tmp_path / "certain")
    result = predict("--model", model, tagged, "--playlists", tmp_path / "lists")
    assert result.exit_code == 0, result.output
    head, *rows = [line.split() for line in result.stdout.splitlines()[:4]]
    assert head == ["file", "genre", "tagged", "confidence", "next"]
    assert [row[2] for row in rows] == ["Bells", "drone", "Folk"]
    genres = [row[1] for row in rows]
    agreeing = sum(genre == tag for genre, tag in zip(genres, ("bells", "drone"), strict=False))
    assert f"{agreeing} of 2 agree with their genre tags" in result.stdout
    listed = {path.stem: len(playlist.read(path).songs) for path in (tmp_path / "lists").iterdir()}
    assert listed == Counter(genres)
    records = [json.loads(line) for line in predict("--model", model, tagged, "--json").stdout.splitlines()]
    assert [(record["title"], record["tagged_genres"]) for record in records[:2]] == [
        ("Song 0", ["Bells"]), ("Song 1", ["drone"]),
    ]  # fmt: skip
    assert [record["agrees"] for record in records] == [genres[0] == "bells", genres[1] == "drone", None]


def test_predict_keeps_playlists_of_the_user(model: str, tagged: Path, tmp_path: Path) -> None:
    (tmp_path / "bells.m3u8").write_text("mine.mp3\n")
    result = predict("--model", model, tagged, "--playlists", tmp_path)
    assert result.exit_code == 2
    assert "bells.m3u8 was not written by raygenre" in result.stderr
    assert (tmp_path / "bells.m3u8").read_text() == "mine.mp3\n"


def test_predict_takes_what_is_done_from_the_cache(model: str, tagged: Path, storage: Path) -> None:
    cached = "3 predictions were read from the cache"
    first = predict("--model", model, tagged).stdout
    second = predict("--model", model, tagged).stdout
    assert cached not in first
    assert second == first + f"{cached}; use --no-cache to compute again\n"
    assert cached not in predict("--model", model, tagged, "--no-cache").stdout
    entries = [path for path in (storage / "cache" / "predictions").rglob("*") if path.is_file()]
    assert len(entries) == 3
    for entry in entries[:2]:
        entry.write_bytes(entry.read_bytes()[:-1])
    assert predict("--model", model, tagged).stdout.startswith(first)
    assert predict("--model", model, tagged).stdout == second


def test_predict_works_without_a_writable_cache(model: str, tagged: Path, storage: Path) -> None:
    (storage / "cache").touch()  # not a folder
    result = predict("--model", model, tagged)
    assert result.exit_code == 0
    assert "predictions are not cached" in result.stderr


def test_predict_prints_whole_names_instead_of_next(model: str, album: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("a.wav", "long name of a song in a terminal window.wav")):
        shutil.copy(album / "short.wav", tmp_path / name)
        head, *rows = predict("--model", model, tmp_path).stdout.splitlines()
        assert ("next" in head.split()) == (number == 0)
        assert rows[number].strip().startswith(f"{name} ")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_replaces_that_of_an_interrupted_run(model: str, album: Path, tmp_path: Path, suffix: str) -> None:
    table, partial = tmp_path / f"songs{suffix}", tmp_path / f"songs.partial{suffix}"
    predict("--model", model, album / "short.wav", "-o", partial)
    predict("--model", model, album / "short.wav", "-o", table)
    assert [path.name for path in tmp_path.iterdir()] == [table.name]
    partial.write_text("path,mine\n")  # not a table written by raygenre
    predict("--model", model, album / "short.wav", "-o", table)
    assert partial.read_text() == "path,mine\n"
