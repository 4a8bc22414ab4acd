"""Every command shows file, genre and study names literally, with control characters escaped."""

import io
import json
import shutil
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from mutagen.flac import FLAC
from rich.text import Text
from typer.models import CommandInfo
from typer.testing import CliRunner, Result

from raygenre.cli import app
from raygenre.cli.console import LiteralConsole, err, out, styled
from raygenre.cli.progress import ConsoleDisplay
from raygenre.errors import RaygenreError
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.search.trials.phases import TextTable
from raygenre.spectrogram.image import write_png
from tests.helpers.sounds import encode, tone

WORD = "[bold]x:fire:\x1b[31m\r\u202e"
NAME = f"{WORD}\nFORGED"
SHOWN = r"[bold]x:fire:\x1b[31m\r\u202e"


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "400"}).invoke(app, [str(argument) for argument in arguments])


def check(text: str) -> None:
    assert SHOWN in text
    assert not [line for line in text.splitlines() if line.startswith("FORGED")], text
    assert not {"\x1b", "\r", "\u202e"} & set(text), repr(text)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for console in (out, err):
        monkeypatch.setattr(console, "_width", 400)
    monkeypatch.setenv("RAYGENRE_STORAGE", str(tmp_path / "storage"))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a classifier with a hostile name and a genre with the same name."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / NAME
    Classifier(GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4))), (NAME, "b")).save(folder)
    return folder


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a hostile name; all files and folders in it also have hostile names."""
    folder = tmp_path_factory.mktemp("songs") / NAME / NAME
    folder.mkdir(parents=True)
    song = folder / f"{NAME}.flac"
    song.write_bytes(encode(tone(440, seconds=3), "flac", "flac"))
    file = FLAC(song)
    file["genre"] = file["artist"] = NAME
    file.save()
    (folder / f"{NAME}-broken.flac").write_bytes(b"not music")
    return folder.parent


@pytest.mark.parametrize("command", app.registered_commands, ids=lambda command: str(command.callback.__name__))
def test_errors_of_every_command(command: CommandInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> NoReturn:
        raise RaygenreError(f"{WORD} cannot be read")

    monkeypatch.setattr(command, "callback", fail)
    monkeypatch.setattr(command, "name", "command")
    result = run("command")
    assert result.exit_code == 2
    assert result.stderr == f"error: {SHOWN} cannot be read\n"


def test_predict(classifier: Path, songs: Path, tmp_path: Path) -> None:
    playlist = tmp_path / f"{NAME}.m3u"
    playlist.write_text("https://host/[bold]\x1b[31m\n")
    table = tmp_path / f"{NAME}.csv"
    lists = tmp_path / f"{NAME}-lists"
    printed = run("predict", "--model", classifier, songs, playlist, tmp_path / NAME)
    check(printed.stdout)
    check(printed.stderr)
    written = run("predict", "--model", classifier, songs, "-o", table, "--playlists", lists)
    check(written.stdout)
    assert table.exists()
    lines = run("predict", "--model", classifier, songs, "--json").stdout.splitlines()
    assert NAME in json.loads(lines[-1])["file"]
    plotted = run("predict", "--model", classifier, next(songs.rglob("*[!n].flac")), "--plot", tmp_path / "song.png")
    check(plotted.stdout)


def test_render(songs: Path, tmp_path: Path) -> None:
    [song] = songs.rglob("*[!n].flac")
    for source, target in ((songs, tmp_path / NAME), (song, tmp_path / f"{NAME}.png")):
        result = run("render", source, "-o", target)
        check(result.stdout)
    check(run("render", songs, "-o", tmp_path / f"{NAME}.png").stderr)
    check(run("render", tmp_path / NAME / NAME, "-o", tmp_path).stderr)
    check(run("render", song, "-o", tmp_path / f"{NAME}.jpg").stderr)
    check(run("render", song, "-o", tmp_path / NAME / "none" / "song.png").stderr)


def test_evaluate(classifier: Path, tmp_path: Path) -> None:
    for genre in (NAME, "b"):
        (tmp_path / WORD / genre).mkdir(parents=True)
        for number in range(21):
            levels = np.full((128, 333), 1 + number + 100 * (genre == "b"), dtype=np.uint8)
            (tmp_path / WORD / genre / f"{genre}{number}.png").write_bytes(write_png(levels))
    (tmp_path / WORD / "b" / f"{NAME}.png").write_bytes(b"not a picture")
    page = tmp_path / f"{NAME}.html"
    options = ("--model", classifier, "--data", tmp_path / WORD, "--split", "all", "--no-log", "-o", page)
    result = run("evaluate", *options)
    assert result.exit_code == 0, result.output
    check(result.stdout)
    check(result.stderr)
    assert "[bold]x:fire:" in page.read_text()
    shutil.rmtree(tmp_path / WORD / "b")
    check(run("evaluate", *options).stderr)


def test_tune(tmp_path: Path) -> None:
    check(run("tune", "--data", tmp_path / WORD).stderr)
    (tmp_path / WORD).mkdir()
    check(run("tune", "--data", tmp_path / WORD).stderr)
    check(run("tune", "--space", tmp_path / f"{WORD}.yaml").stderr)
    check(run("tune", "--study", WORD).stderr)
    written = io.StringIO()
    console = LiteralConsole(file=written, width=400)
    display = ConsoleDisplay(console)
    display.info("topic", WORD)
    display.message(WORD)
    display.table(TextTable(columns=(WORD,), rows=[(WORD,)], title=WORD, footer=WORD))
    text = written.getvalue()
    check(text)
    assert text.count(SHOWN) == 5  # the topic is wrapped, which turns the carriage return into a space


@pytest.mark.parametrize(
    "arguments",
    [("compare", WORD, WORD), ("promote", "1"), ("rollback",), ("rerun", WORD), ("sync", "--study", WORD), ("models",),
     ("dashboard", "--study", WORD), ("ui",)],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_storages_and_studies_of_such_names(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = run(*arguments, "--storage", tmp_path / WORD)
    check(result.stdout + result.stderr)


def test_a_text_object_is_escaped_too(capsys: pytest.CaptureFixture[str]) -> None:
    out.print(styled(WORD, "bold"), Text(WORD))
    check(capsys.readouterr().out)
