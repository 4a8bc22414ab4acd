"""No damaged file crashes, hangs or grows a process that reads it: each ends in an answer or in a refusal."""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from raygenre.spectrogram.song import read
from tests.helpers import fuzzing

SEED = 2026
FEW, MANY = 110, 2200  # 10 and 200 of each format
MOST_GROWTH = 32  # MiB that a process may hold more after many files than after few
MOST_PEAK = 400  # MiB that the worst file may take for a while; half an hour of samples alone is 152


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    fuzzing.make_originals(folder)
    return folder


def check(folder: Path, *, reader: str = "read", seed: int = SEED, cases: int) -> Counter[str]:
    """Read the cases in a child process, and return how many were answered and refused.

    Raises:
        AssertionError: one of them did neither, or the child died, hung or grew; the message says how to see it again.
    """
    command = [sys.executable, "-m", "tests.helpers.fuzzing", str(folder), reader, str(seed), "0", str(cases)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    if child.returncode != 0:
        died = signal.Signals(-child.returncode).name if child.returncode < 0 else f"exit status {child.returncode}"
        last = (folder / "case.txt").read_text()
        pytest.fail(f"{died} on {last}, kept as {folder / 'case'}\n{child.stderr[-2000:]}")
    found = json.loads(child.stdout)
    memory = found["memory"]
    some = max(1, len(memory) // 5)
    early, late = max(memory[:some]), min(memory[-some:])
    assert late - early < MOST_GROWTH, f"the process grew from {early:.0f} to {late:.0f} MiB, seed {seed}"
    assert found["peak"] - memory[0] < MOST_PEAK, f"a file of seed {seed} took {found['peak']:.0f} MiB"
    ends = Counter(found["ends"])
    unexpected = sorted(set(ends) - {"answer", "refusal"})
    assert not unexpected, "\n".join(unexpected)
    return ends


@pytest.mark.parametrize("cases", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_damaged_files_are_answered_or_refused(originals: Path, cases: int) -> None:
    ends = check(originals, cases=cases)
    assert ends.total() == cases
    assert min(ends["answer"], ends["refusal"]) > cases / 10  # damage that reaches the decoders, and that is noticed


# Controls: what the check is there for, planted.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "cases", "message"),
    [
        ("leaking", 60, r"the process grew from \d+ to \d+ MiB, seed 2026"),
        ("swelling", 5, r"a file of seed 2026 took \d+ MiB"),
        ("hanging", 1, r"SIGALRM on AIFF, seed 2026, number 0, kept as"),
        ("crashing", 1, r"SIGABRT on AIFF, seed 2026, number 0, kept as"),
    ],
)
def test_the_check_notices(originals: Path, reader: str, cases: int, message: str) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception), match=message):
        check(originals, reader=reader, cases=cases)


def test_an_error_that_is_not_documented_or_says_nothing_is_noticed() -> None:
    assert fuzzing.outcome(fuzzing.overflowing, b"") == "OverflowError: planted"
    assert fuzzing.outcome(fuzzing.mute, b"") == "AudioError: "
    assert fuzzing.outcome(read, b"") == "refusal"


def test_cases_are_reproducible(originals: Path) -> None:
    good = {name: (originals / name).read_bytes() for name in (*fuzzing.FORMATS, "PNG")}
    cases = [fuzzing.mutated(good, SEED, number) for number in range(100)]
    assert cases == [fuzzing.mutated(good, SEED, number) for number in range(100)]
    assert {name for name, _ in cases} == good.keys()
    assert sum(data != good[name] for name, data in cases) > 95
    assert cases != [fuzzing.mutated(good, SEED + 1, number) for number in range(100)]
