"""Realistic files get the same answer or refusal alone, in a folder and over HTTP."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from raygenre.cli import app
from raygenre.system.storage import Storage
from tests.helpers.real_files import ANSWERED, REFUSED


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A folder of files that get an answer, and a folder of files that are refused."""
    good, bad = tmp_path_factory.mktemp("good"), tmp_path_factory.mktemp("bad")
    for name, make in ANSWERED.items():
        (good / name).write_bytes(make())
    for name, (make, _) in REFUSED.items():
        (bad / name).write_bytes(make())
    return [good, bad]


def predict(storage: Storage, *sources: Path) -> dict[str, dict[str, Any]]:
    """Return each file's record by its path."""
    options = ["--json", "--jobs", "1", "--storage", str(storage.root)]
    result = CliRunner().invoke(app, ["predict", *options, *map(str, sources)])
    assert result.exit_code in (0, 1), result.output
    return {record["file"]: record for record in map(json.loads, result.stdout.splitlines())}


@pytest.fixture(scope="module")
def by_file(storage: Storage, folders: list[Path]) -> dict[str, dict[str, Any]]:
    return predict(storage, *[path for folder in folders for path in sorted(folder.iterdir())])


@pytest.fixture(scope="module")
def by_folder(storage: Storage, folders: list[Path]) -> dict[str, dict[str, Any]]:
    return predict(storage, *folders)


@pytest.mark.parametrize("name", ANSWERED)
def test_a_real_file_gets_the_same_answer_everywhere(
    name: str,
    folders: list[Path],
    by_file: dict[str, dict[str, Any]],
    by_folder: dict[str, dict[str, Any]],
    endpoint: httpx.Client,
) -> None:
    path = folders[0] / name
    assert "error" not in by_file[str(path)]
    assert by_folder[str(path)] == by_file[str(path)]
    answer = endpoint.post("/v1/predict", content=path.read_bytes())
    assert answer.status_code == 200, answer.text
    assert answer.json()["probabilities"] == pytest.approx(by_file[str(path)]["probabilities"], abs=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_a_real_file_is_refused_for_the_same_reason_everywhere(
    name: str,
    folders: list[Path],
    by_file: dict[str, dict[str, Any]],
    by_folder: dict[str, dict[str, Any]],
    endpoint: httpx.Client,
) -> None:
    path = folders[1] / name
    reason = by_file[str(path)]["error"]
    assert REFUSED[name][1] in reason
    assert "Invalid" not in reason
    assert by_folder[str(path)] == by_file[str(path)]
    answer = endpoint.post("/v1/predict", content=path.read_bytes())
    assert answer.status_code == (415 if "neither a PNG nor audio" in reason else 422)
    assert answer.json()["detail"] == reason
