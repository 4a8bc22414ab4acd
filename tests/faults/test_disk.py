"""A disk that is full or read-only stops a search; once that is mended, `--resume` goes on without a loss."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.project import ROOT

pytestmark = pytest.mark.slow


def test_a_disk_that_fails_halts_the_search_and_costs_no_trial(tmp_path: Path, tracks_folder: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    # A mount namespace of its own: the disk is seen by this child alone and goes with it.
    command = ["unshare", "--map-root-user", "--mount", sys.executable, "-m", "tests.helpers.small_disk"]
    done = subprocess.run(
        [*command, str(disk), str(tracks_folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=1100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
