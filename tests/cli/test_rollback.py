"""`raygenre rollback`."""

from pathlib import Path

from typer.testing import CliRunner

from raygenre.cli import app
from raygenre.registry import champion
from raygenre.tracking.server import Server
from tests.helpers.storages import empty_storage

RUNNER = CliRunner()


def test_rollback_names_both_versions(tmp_path: Path) -> None:
    storage = empty_storage(tmp_path)
    client = Server(storage).client
    client.create_registered_model("raygenre")
    for version in (1, 2):
        client.create_model_version("raygenre", str(tmp_path / "nothing"))
        champion.promote(Server(storage), version)
    result = RUNNER.invoke(app, ["rollback", "--storage", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert result.stdout == "raygenre version 1 is the champion again and replaces version 2\n"
    again = RUNNER.invoke(app, ["rollback", "--storage", str(tmp_path)])
    assert again.exit_code == 2
    assert "version 1 has no previous champion" in again.stderr


def test_rollback_without_a_registry_creates_none(tmp_path: Path) -> None:
    assert RUNNER.invoke(app, ["rollback", "--storage", str(tmp_path)]).exit_code == 2
    assert not list(tmp_path.iterdir())
