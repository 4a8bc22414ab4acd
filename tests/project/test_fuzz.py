"""Damaged files cause no crash, hang or memory leak.

Each file is either read or rejected with a documented error.
"""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from raygenre.inputs.levels import LEVELS
from tests.helpers import fuzzing

SEED = 2026
FEW, MANY = 150, 3000  # 10 and 200 of each format
MAX_GROWTH = 32  # MiB by which resident memory may grow from the first to the last file
MAX_PEAK = 400  # MiB while reading a file; the samples of half an hour alone take up 152


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    fuzzing.make_originals(folder)
    return folder


def read_cases(folder: Path, *, reader: str = "read", seed: int = SEED, cases: int) -> Counter[str]:
    """Read the cases in a child process, and return how many were read and how many were rejected.

    Raises:
        AssertionError: a case had an unexpected outcome, or the child crashed, hung or leaked memory. The message names
            the case so that it can be reproduced.
    """
    command = [sys.executable, "-m", "tests.helpers.fuzzing", str(folder), reader, str(seed), "0", str(cases)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    if child.returncode != 0:
        cause = signal.Signals(-child.returncode).name if child.returncode < 0 else f"exit status {child.returncode}"
        last = (folder / "case.txt").read_text()
        pytest.fail(f"{cause} on {last}, stored as {folder / 'case'}\n{child.stderr[-2000:]}")
    result = json.loads(child.stdout)
    memory = result["memory"]
    fifth = max(1, len(memory) // 5)
    early, late = max(memory[:fifth]), min(memory[-fifth:])
    assert late - early < MAX_GROWTH, f"the process grew from {early:.0f} to {late:.0f} MiB, seed {seed}"
    assert result["peak"] - memory[0] < MAX_PEAK, f"a file of seed {seed} used {result['peak']:.0f} MiB"
    outcomes = Counter(result["outcomes"])
    unexpected = sorted(set(outcomes) - {"answer", "rejection"})
    assert not unexpected, "\n".join(unexpected)
    return outcomes


@pytest.mark.parametrize("cases", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_damaged_files_are_answered_or_rejected(originals: Path, cases: int) -> None:
    outcomes = read_cases(originals, cases=cases)
    assert outcomes.total() == cases
    assert min(outcomes["answer"], outcomes["rejection"]) > cases / 10  # the damage is neither too severe nor too mild


# Control tests: readers with planted faults must be detected.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "cases", "message"),
    [
        ("leaking", 60, r"the process grew from \d+ to \d+ MiB, seed 2026"),
        ("swelling", 5, r"a file of seed 2026 used \d+ MiB"),
        ("hanging", 1, r"SIGALRM on AIFF, seed 2026, number 0, stored as"),
        ("crashing", 1, r"SIGABRT on AIFF, seed 2026, number 0, stored as"),
    ],
)
def test_planted_faults_are_detected(originals: Path, reader: str, cases: int, message: str) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception), match=message):
        read_cases(originals, reader=reader, cases=cases)


def test_undocumented_or_empty_errors_are_detected() -> None:
    assert fuzzing.outcome(fuzzing.overflowing, b"") == "OverflowError: planted"
    assert fuzzing.outcome(fuzzing.mute, b"") == "AudioError: "
    assert fuzzing.outcome(LEVELS.read, b"") == "rejection"


def test_cases_are_reproducible(originals: Path) -> None:
    valid = {name: (originals / name).read_bytes() for name in (*fuzzing.FORMATS, "PNG")}
    cases = [fuzzing.mutated(valid, SEED, number) for number in range(100)]
    assert cases == [fuzzing.mutated(valid, SEED, number) for number in range(100)]
    assert {name for name, _ in cases} == valid.keys()
    assert sum(data != valid[name] for name, data in cases) > 95
    assert cases != [fuzzing.mutated(valid, SEED + 1, number) for number in range(100)]
