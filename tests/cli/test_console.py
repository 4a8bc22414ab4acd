"""The commands' exit codes and error messages.

User errors print one line to stderr, Ctrl-C exits with status 130, and bugs print a traceback.
"""

import ast
import errno
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from typer.models import CommandInfo
from typer.testing import CliRunner

from raygenre.cli import app
from raygenre.cli.console import write_file
from raygenre.errors import FileAccessError, RaygenreError, file_errors, reason_of
from raygenre.workflows import render as render_workflow
from tests.helpers.project import ROOT

COMMANDS = app.registered_commands


def name(command: CommandInfo) -> str:
    assert command.callback
    return str(command.callback.__name__)


def raising(error: BaseException) -> Callable[..., NoReturn]:
    def broken(*_: object) -> NoReturn:
        raise error

    return broken


@pytest.mark.parametrize("command", COMMANDS, ids=name)
def test_errors_of_the_user_are_one_line_and_exit_2(command: CommandInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = RaygenreError("http://someone:secret@host is unreachable; start it")
    arguments = [name(command)]
    monkeypatch.setattr(command, "callback", lambda: raising(planted)())
    monkeypatch.setattr(command, "name", arguments[0])
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr == "error: http://***@host is unreachable; start it\n"
    assert not result.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=name)
def test_ctrl_c_is_one_line_and_exits_130(command: CommandInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [name(command)]
    monkeypatch.setattr(command, "callback", lambda: raising(KeyboardInterrupt())())
    monkeypatch.setattr(command, "name", arguments[0])
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"
    assert not result.stdout


@pytest.mark.parametrize("error", [TypeError("planted"), ValueError("planted"), KeyError("planted")])
def test_a_bug_keeps_its_exception(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_workflow, "plan_renders", raising(error))
    result = CliRunner().invoke(app, ["render", str(tmp_path), "-o", str(tmp_path / "out")])
    assert result.exception is error
    assert "error:" not in result.output


def run_render_with(planted: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `raygenre render` in a separate process, with a statement in place of the function that lists songs."""
    lines = ("import os, signal, time", "from raygenre.cli import app", "from raygenre.workflows import render",
             "def broken(*_):", f"    {planted}", "render.plan_renders = broken", "app()")  # fmt: skip
    command = [sys.executable, "-c", "\n".join(lines), "render", str(folder), "-o", str(folder / "out")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)


@pytest.mark.integration
def test_sigint_exits_130_without_a_traceback(tmp_path: Path) -> None:
    result = run_render_with("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", tmp_path)
    assert result.returncode == 130
    assert result.stderr == "interrupted\n"


@pytest.mark.integration
def test_a_bug_prints_its_traceback(tmp_path: Path) -> None:
    result = run_render_with("raise TypeError('planted')", tmp_path)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "TypeError: planted" in result.stderr


def test_a_missing_folder_is_one_line_and_exits_2(model: str, tmp_path: Path) -> None:
    options = ["--model", model, "--data", str(tmp_path / "missing"), "--storage", str(tmp_path / "results")]
    result = CliRunner().invoke(app, ["evaluate", *options])
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path / 'missing'} is not a folder")
    assert not result.stdout


@pytest.mark.parametrize("arguments", [["models"], ["rollback"], ["promote", "1"], ["compare", "a", "b"], ["sync"]])
def test_an_unreadable_storage_is_one_line_and_exits_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [*arguments, "--storage", "a" * 300])
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("error: the storage cannot be read: File name too long")


def test_an_unusable_cache_is_one_line_and_exits_2(model: str, tracks_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()  # not a folder
    options = ["--model", model, "--data", str(tracks_folder), "--storage", str(tmp_path), "-o", str(tmp_path / "r")]
    result = CliRunner().invoke(app, ["evaluate", *options])
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("error: the tracks could not be loaded: ")
    assert str(tmp_path / "cache") in line


def test_a_full_disk_is_an_error_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / ".unfinished-1"))
    monkeypatch.setattr("raygenre.cli.console.write_atomically", raising(full))
    with pytest.raises(FileAccessError) as error_info:
        write_file(tmp_path / "page.html", b"page")
    assert str(error_info.value) == f"{tmp_path / 'page.html'} cannot be written: No space left on device"


@pytest.mark.parametrize("path", sorted((ROOT / "raygenre" / "cli").glob("*.py")), ids=lambda path: path.stem)
def test_commands_use_no_markup(path: Path) -> None:
    """The consoles print text like `[red]` literally, because nearly every message contains names.

    Commands must therefore set styles with `styled`, not with markup.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.module != "rich.markup", "the consoles print text literally; do not escape it"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not re.search(r"\[/(\w| )*\]", node.value), f"line {node.lineno}: use styled() instead of markup"


def test_file_errors_name_the_failure_the_reason_and_the_file() -> None:
    with pytest.raises(FileAccessError) as error_info, file_errors("a track list cannot be read"):
        Path("/missing.txt").read_bytes()
    assert str(error_info.value) == "a track list cannot be read: No such file or directory (/missing.txt)"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "../D/rock/gone.mp3"), "No such file or directory"),
        (OSError("the disk is gone"), "the disk is gone"),
        (FileAccessError("the log cannot be read: Is a directory"), "the log cannot be read: Is a directory"),
        (RaygenreError("the song is silent"), "the song is silent"),
        (MemoryError(), "MemoryError()"),
    ],
)
def test_reasons_name_neither_error_numbers_nor_paths(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason


def test_file_errors_leave_other_errors_unchanged() -> None:
    original = FileAccessError("page.html cannot be written")
    with pytest.raises(FileAccessError) as error_info, file_errors("something failed"):
        raise original
    assert error_info.value is original
    with pytest.raises(ValueError, match=r"^planted$"), file_errors("something failed"):
        raise ValueError("planted")
