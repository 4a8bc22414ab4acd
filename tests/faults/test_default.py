"""The README's quick start works as written, in a fresh copy of the project and a separate network namespace."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from raygenre.audio.synthesis import synthesise
from raygenre.registry import champion
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from tests.helpers.markdown import blocks
from tests.helpers.project import ROOT
from tests.helpers.sounds import encode

OWN_NETWORK = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""Runs a script in a network namespace in which port 8000 is free; its child processes end when the script ends."""


def copy_of_the_project(folder: Path) -> None:
    """Copy all files under version control, and create a link to this environment's packages."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        (folder / ".venv" / path.name).symlink_to(path)
    (folder / ".venv" / "run").unlink(missing_ok=True)
    (folder / ".venv" / "run").touch()  # it is now newer than pyproject.toml, so make installs nothing


@pytest.mark.slow
@pytest.mark.alone
def test_the_quick_start_ends_with_an_answer(tmp_path: Path) -> None:
    copy_of_the_project(tmp_path)
    (tmp_path / "song.mp3").write_bytes(encode(synthesise("bells", seed=50), "mp3", "libmp3lame"))
    install, request = [block.text for block in blocks(ROOT / "README.md") if block.language == "sh"][:2]
    tune, serve, *_ = install.splitlines()  # the remaining commands return tags for a real song
    script = f"""
        set -e
        ip link set lo up
        {tune}
        {serve.partition("#")[0]} > serve.log 2>&1 &
        curl --fail --silent --retry 300 --retry-delay 1 --retry-all-errors --output ready.json localhost:8000/readyz
        {request.strip()} > answer.json
    """
    # Remove the variables that earlier endpoints in this process set for Ray, because the copy starts its own HAProxy.
    others = ("VIRTUAL_ENV", "RAY_SERVE_", "RAYGENRE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    result = subprocess.run(
        [*OWN_NETWORK, "bash", "-c", script],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    log = tmp_path / "serve.log"
    assert result.returncode == 0, result.stdout + result.stderr + (log.read_text() if log.exists() else "")
    assert "No --data and no RAYGENRE_DATA" in result.stdout
    current = champion.find(Server(resolve(tmp_path / "results")))
    assert current is not None
    version, facts = current
    assert version == 1
    assert facts is not None
    assert facts.synthetic
    assert facts.test_accuracy > 0.8  # chance is 0.1
    accuracy = re.search(r"Test accuracy ([\d.]+)% on 40 tracks \(95 % interval", result.stdout)
    assert accuracy
    assert float(accuracy[1]) == pytest.approx(100 * facts.test_accuracy, abs=0.1)
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert (answer["genre"], answer["model"]["version"]) == ("bells", "1")
