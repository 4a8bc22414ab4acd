import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import torch

from raygenre.system import worker_pool
from tests.helpers.project import ROOT
from tests.helpers.tasks import add, half, particular, sleep, surroundings, unpicklable


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_and_exceptions_belong_to_their_items(jobs: int) -> None:
    found = dict(worker_pool.unordered(half, range(12), jobs=jobs))
    assert sorted(found) == list(range(12))
    for number, result in found.items():
        if number % 2:
            assert isinstance(result, ValueError)
            assert str(result) == f"{number} is odd"
        else:
            assert result == number // 2


def test_a_worker_that_dies_is_named_by_its_item_and_the_others_go_on() -> None:
    found = dict(worker_pool.unordered(half, [0, 13, 2, 4, 17, 6, 13, 8], jobs=2))
    assert {number: found[number] for number in (0, 2, 4, 6, 8)} == {0: 0, 2: 1, 4: 2, 6: 3, 8: 4}
    assert isinstance(found[13], worker_pool.WorkerDiedError)
    assert "SIGSEGV" in str(found[13])
    assert "status 3" in str(found[17])


def test_workers_are_other_processes_with_one_thread_each() -> None:
    for _, result in worker_pool.unordered(surroundings, range(4), jobs=2):
        assert not isinstance(result, Exception)
        process, threads = result
        assert process != os.getpid()
        assert threads == 1


def test_one_job_is_this_process_as_it_is() -> None:
    threads = torch.get_num_threads()
    assert list(worker_pool.unordered(surroundings, [0], jobs=1)) == [(0, (os.getpid(), threads))]


def test_what_cannot_be_handed_over_is_told_in_words() -> None:
    [(_, result)] = worker_pool.unordered(particular, [3], jobs=2)
    assert isinstance(result, RuntimeError)
    assert str(result) == "ParticularError: 3 against 3"
    [(_, other)] = worker_pool.unordered(unpicklable, [3], jobs=2)
    assert isinstance(other, RuntimeError)


def test_tensors_reach_the_workers() -> None:
    assert sorted(worker_pool.unordered(partial(add, torch.tensor(40)), [1, 2], jobs=2)) == [(1, 41), (2, 42)]


def test_no_more_items_are_taken_than_there_are_workers() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(0, 40, 2):
            taken.append(number)
            yield number

    for done, _ in enumerate(worker_pool.unordered(half, items(), jobs=2), start=1):
        assert len(taken) <= done + 3  # two on their way, and the results of two that came together
    assert len(taken) == 20


def test_no_items() -> None:
    assert list(worker_pool.unordered(half, [], jobs=2)) == []


def test_jobs_must_be_positive() -> None:
    with pytest.raises(ValueError, match="not 0"):
        list(worker_pool.unordered(half, [0], jobs=0))


def test_closing_ends_the_workers_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    with closing(worker_pool.unordered(partial(sleep, tmp_path), [0.0, 600.0, 600.0], jobs=2)) as results:
        next(results)
    assert time.monotonic() - started < 60
    for path in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


INTERRUPTED = """
import sys, time
from pathlib import Path
from functools import partial
from raygenre.system import worker_pool
from tests.helpers.tasks import sleep
if __name__ == "__main__":
    try:
        for _ in worker_pool.unordered(partial(sleep, Path(sys.argv[1])), [600.0, 600.0], jobs=2):
            pass
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_ctrl_c_in_a_terminal_ends_all_without_a_word_from_the_workers(tmp_path: Path) -> None:
    """In a terminal, Ctrl-C reaches every process of the group."""
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    pids = tmp_path / "pids"
    pids.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(pids)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(list(pids.iterdir())) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=30) == ("interrupted\n", "")
    for path in pids.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from raygenre.system import worker_pool\n"
        "from tests.helpers.tasks import half\n"
        "list(worker_pool.unordered(half, [0], jobs=2))\n"
    )
    root = str(ROOT)
    finished = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 1
    assert "must be guarded by" in finished.stderr
