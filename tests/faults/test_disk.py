"""If a full or read-only disk stops a search, `--resume` later continues it without loss."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.project import ROOT

pytestmark = pytest.mark.slow


def test_a_failing_disk_stops_the_search_and_loses_no_trial(tmp_path: Path, tracks_folder: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    # The child process has its own mount namespace, so the disk is visible only to the child and disappears when the
    # child ends.
    command = ["unshare", "--map-root-user", "--mount", sys.executable, "-m", "tests.helpers.small_disk"]
    result = subprocess.run(
        [*command, str(disk), str(tracks_folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=1100, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
