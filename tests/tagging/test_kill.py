"""A process killed while tagging many files damages none of them, and everything can be undone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from raygenre.tagging.log import read_log
from raygenre.tagging.open_tags import present_genre
from raygenre.tagging.undo import undo
from tests.helpers.project import ROOT
from tests.helpers.tagged import FORMATS, song

KILLS = 3

PROGRAM = """
import sys
from pathlib import Path
from raygenre.tagging.log import TagLog
from raygenre.tagging.open_tags import present_genre
from raygenre.tagging.replacement import remove_abandoned
from raygenre.tagging.write import write_genres
folder, log_path = map(Path, sys.argv[1:])
remove_abandoned(folder)
with TagLog(log_path) as log:
    for path in sorted(folder.iterdir()):
        if not present_genre(path).genres:
            write_genres(path, ["Jazz", "Blues"], log, present=())
            print(path, flush=True)
"""


def test_kills_damage_no_file_and_all_is_taken_back(tmp_path: Path) -> None:
    music, log = tmp_path / "music", tmp_path / "log"
    music.mkdir()
    suffixes = sorted(FORMATS)
    for number in range(40):
        (music / f"{number:02d}{suffixes[number % len(suffixes)]}").write_bytes(song(suffixes[number % len(suffixes)]))
    old = {path: path.read_bytes() for path in music.iterdir()}
    generator = random.Random(0)
    for _ in range(KILLS):
        run_and_kill(music, log, after=generator.randint(2, 8), delay=generator.uniform(0, 0.03))
    changed = {path for path, data in old.items() if path.read_bytes() != data}
    assert 0 < len(changed) < len(old)
    assert changed <= {Path(record.file) for record in read_log(log)}
    for path in changed:
        assert present_genre(path).genres == ("Jazz", "Blues")
    results = list(undo(read_log(log)))
    assert {result.outcome for result in results} <= {"restored", "unchanged"}
    assert {path: path.read_bytes() for path in music.iterdir()} == old  # and there are no other files


def run_and_kill(music: Path, log: Path, *, after: int, delay: float) -> None:
    """Start a tagging process, and kill it a moment after it has tagged some files."""
    command = [sys.executable, "-c", PROGRAM, str(music), str(log)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout
    for _ in range(after):
        assert process.stdout.readline()
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
