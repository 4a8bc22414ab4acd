"""Every `raygenre` command in the documents runs as written, in a folder with the files it mentions.

A shell splits and expands each command. The command then runs in this process, because starting a new process takes
several seconds.
"""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from raygenre.audio.synthesis import synthesise
from raygenre.cli import app
from raygenre.pretrained.install import install
from raygenre.pretrained.store import MODEL
from raygenre.registry import champion, versions
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from tests.conftest import FinishedSearch
from tests.helpers.markdown import DOCUMENTS, commands
from tests.helpers.musicnn import wheel
from tests.helpers.sounds import encode

COMMANDS = sorted({command for path in DOCUMENTS for command in commands(path) if command.startswith("raygenre ")})

NOT_RUN = {
    # Maps the first words of a command to the reason why it is not run here.
    "raygenre dashboard": "runs until Ctrl-C; tests/cli/test_dashboard.py runs it",
    "raygenre download": "needs a network",
    "raygenre evaluate --data PATH --map": "needs folders of these names; tests/cli/test_evaluate.py maps others",
    "raygenre predict s3:": "needs a store; tests/servers/test_batch.py has one",
    "raygenre predict --url": "needs an endpoint; tests/serve/test_client.py has one",
    "raygenre pretrained install": "needs a network; tests/pretrained/test_install.py installs from a file",
    "raygenre render s3:": "needs a store; tests/servers/test_batch.py has one",
    "raygenre serve": "runs until Ctrl-C; tests/faults/test_default.py runs `make serve`",
    "raygenre studies logs": "needs a submitted study; tests/cli/test_studies.py has one",
    "raygenre studies remove": "needs a submitted study; tests/cli/test_studies.py has one",
    "raygenre studies resume": "needs a submitted study; tests/cli/test_studies.py has one",
    "raygenre studies set": "needs a submitted study; tests/cli/test_studies.py has one",
    "raygenre studies show": "needs a submitted study; tests/cli/test_studies.py has one",
    "raygenre studies stop": "needs a submitted study; tests/cli/test_studies.py has one",
    "raygenre studies submit": "takes minutes; tests/cli/test_studies.py submits a study",
    "raygenre tag --undo": "needs the log of another command; tests/cli/test_tag.py undoes its own",
    "raygenre tune": "takes minutes; tests/faults/test_default.py runs `make tune`",
    "raygenre ui": "runs until Ctrl-C; tests/cli/test_ui.py runs it",
}

OUTPUT = {
    # Maps the first words of a command to text that it prints or a file that it writes.
    "raygenre compare": "c.html",
    "raygenre doctor": "passes its self-check",
    "raygenre evaluate": "accuracy",
    "raygenre models": "champion",
    "raygenre predict PATH --json": '"genre": ',
    "raygenre predict --tags": "pretrained tags, not your genres",
    "raygenre predict song.mp3": "song.png",
    "raygenre predict ~/Music list": "genres.csv",
    "raygenre predict ~/Music -o": "playlists/",
    "raygenre pretrained show": "MSD_musicnn is installed",
    "raygenre promote": "champion",
    "raygenre render": "1 rendered into pictures",
    "raygenre rerun": "Same curve",
    "raygenre rollback": "raygenre version 1 is the champion again",
    "raygenre studies list": "no studies have been submitted",
    "raygenre sync": "MLflow",
    "raygenre tag ~/Music": "1 song: ",
}


@pytest.fixture(scope="module")
def workplace(finished: FinishedSearch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with songs, data at `PATH`, and a search and two versions of its model in ./results."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(finished.storage.root, folder / "results")
    (folder / "PATH").symlink_to(finished.dataset.source)
    first, second = finished.dataset.tracks[:2]
    for name, text in (
        ("artists.csv", f"{first},Someone"),
        ("copies.txt", f"{first} {second}"),
        ("faults.txt", second),
    ):
        (folder / name).write_text(text)
    song = encode(np.concatenate([synthesise("bells", seed=0), synthesise("storm", seed=0)]), "mp3", "libmp3lame")
    for name in ("song.mp3", "home/Music/one.mp3", "home/Sorted/bells/one.mp3"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(song)
    (folder / "list.m3u").write_text("song.mp3\n")
    path, sha256 = wheel(folder)
    install(path, folder=folder / "cache" / "pretrained" / MODEL, sha256=sha256)
    storage = resolve(folder / "results")
    fetched = versions.fetch(Server(storage))
    assert fetched.facts is not None
    model = finished.ledger.folder / finished.outcome.candidate.final.name / "classifier"
    trial = finished.ledger.trial_run(0) or ""
    assert versions.register(Server(storage), trial, model, fetched.facts) == 2
    return folder


@pytest.fixture
def at_workplace(workplace: Path, finished: FinishedSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("HOME", str(workplace / "home"))
    monkeypatch.setenv("RAYGENRE_CACHE", str(workplace / "cache"))
    champion.promote(Server(resolve("results")), 2)  # so that there is something to roll back


@pytest.mark.usefixtures("at_workplace")
@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith(tuple(NOT_RUN))])
def test_the_command_runs_as_written(command: str, finished: FinishedSearch) -> None:
    names = {"STUDY": finished.ledger.name, "NAME": finished.ledger.name, "RUN_ID": finished.ledger.trial_run(0) or ""}
    filled = re.sub(r"\b(STUDY|NAME|RUN_ID)\b", lambda name: names[name[0]], command)
    split = subprocess.run(["bash", "-c", f"printf '%s\\0' {filled}"], capture_output=True, text=True, check=True)
    result = CliRunner().invoke(app, split.stdout.split("\0")[1:-1])
    assert result.exit_code == 0, result.output
    [expected] = [text for words, text in OUTPUT.items() if command.startswith(words)]  # add new commands to OUTPUT
    assert expected in result.output or Path(expected).exists(), result.output
