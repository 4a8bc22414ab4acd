"""`raygenre doctor`."""

import json
import re
import socket
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from raygenre.cli import app
from raygenre.workflows import doctor as checks
from raygenre.workflows.doctor import PORTS, examine
from tests.helpers.mlflow_server import free_port

CHECKS = ["Python", "packages", "processor", "GPU", "memory", "Ray's folder", "storage", "disk"]
CHECKS += [*(f"port {port}" for port in PORTS), "MLflow", "champion"]


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


def test_doctor_prints_every_check_and_creates_nothing(tmp_path: Path) -> None:
    result = doctor("--storage", tmp_path / "results")
    problems = re.findall(r"^problem +(.*)", result.stdout, re.MULTILINE)
    assert (result.exit_code, problems) == (0, []), result.output
    lines = [line for line in result.stdout.splitlines() if re.match(r"ok|warning", line)]
    assert [line[8:21].strip() for line in lines] == CHECKS
    assert f"{tmp_path / 'results'} does not exist yet\n{'':21}→ `make tune` creates it" in result.stdout
    assert re.fullmatch(r"\d warnings", result.stdout.splitlines()[-1])
    assert not list(tmp_path.iterdir())


def test_doctor_prints_json_lines(tmp_path: Path) -> None:
    result = doctor("--storage", tmp_path, "--json")
    findings = [json.loads(line) for line in result.stdout.splitlines()]
    assert [finding["check"] for finding in findings] == CHECKS
    assert {frozenset(finding) for finding in findings} == {frozenset({"check", "status", "found", "remedy", "facts"})}
    assert findings[1]["facts"]["installed"]["ray"]
    assert "[" not in findings[-1]["found"]


def test_an_unreachable_server_is_a_problem_and_masked(tmp_path: Path) -> None:
    address = f"user:secret@127.0.0.1:{free_port()}"
    result = doctor("--storage", tmp_path, "--tracking-uri", f"http://{address}", "--json")
    assert result.exit_code == 1
    *_, tracking, champion = map(json.loads, result.stdout.splitlines())
    assert (tracking["check"], tracking["status"]) == ("MLflow", "problem")
    assert "connection refused" in tracking["found"]
    assert (champion["check"], champion["status"]) == ("champion", "warning")
    assert champion["found"] == "not checked, because MLflow cannot be read"
    assert "secret" not in result.output


def test_a_storage_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = doctor("--storage", tmp_path / "file")
    assert result.exit_code == 1
    assert re.search(r"^problem storage +the storage .*file is not a folder", result.stdout, re.MULTILINE)
    assert result.stdout.splitlines()[-1].startswith("1 problem")


def test_doctor_names_a_port_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        monkeypatch.setattr(checks, "PORTS", {port: PORTS[8000]})
        [finding] = [each for each in examine(str(tmp_path)) if each.check == f"port {port}"]
    assert finding.status == "warning"
    assert "raygenre serve --port" in finding.remedy


def test_the_ports_are_the_defaults_of_the_commands() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    defaults = {
        parameter.default: f"`raygenre {name}`"
        for name, command in commands.items()
        for parameter in command.params
        if parameter.name == "port"
    }
    assert defaults == {port: purpose for port, (purpose, _) in PORTS.items() if purpose.startswith("`raygenre")}


def test_a_package_that_cannot_be_imported_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The remaining checks of `raygenre doctor` still run."""
    monkeypatch.setitem(sys.modules, "raygenre.system.check_machine", None)
    findings = {finding.check: finding for finding in examine(str(tmp_path))}
    assert findings["machine"].status == "problem"
    assert "cannot be imported" in findings["machine"].found
    assert findings["champion"].status == "warning"


def test_wrong_usage_exits_with_2() -> None:
    assert doctor("now").exit_code == 2
