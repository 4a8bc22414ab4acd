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
from tests.helpers.tasks import add, half, process_and_threads, raise_unpicklable, return_unpicklable, sleep


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_and_exceptions_are_paired_with_their_items(jobs: int) -> None:
    results = dict(worker_pool.unordered(half, range(12), jobs=jobs))
    assert sorted(results) == list(range(12))
    for number, result in results.items():
        if number % 2:
            assert isinstance(result, ValueError)
            assert str(result) == f"{number} is odd"
        else:
            assert result == number // 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_ordered_results_are_in_the_order_of_the_items(jobs: int) -> None:
    numbers = [8, 3, 8, 0, 5, 2]
    pairs = list(worker_pool.ordered(half, numbers, jobs=jobs))
    assert [number for number, _ in pairs] == numbers
    assert [str(result) for _, result in pairs] == ["4", "3 is odd", "4", "0", "5 is odd", "1"]


def test_crash_fails_only_the_item_of_that_worker() -> None:
    results = dict(worker_pool.unordered(half, [0, 13, 2, 4, 17, 6, 13, 8], jobs=2))
    assert {number: results[number] for number in (0, 2, 4, 6, 8)} == {0: 0, 2: 1, 4: 2, 6: 3, 8: 4}
    assert isinstance(results[13], worker_pool.WorkerDiedError)
    assert "SIGSEGV" in str(results[13])
    assert "exit status 3" in str(results[17])


def test_workers_are_processes_with_one_torch_thread() -> None:
    for _, result in worker_pool.unordered(process_and_threads, range(4), jobs=2):
        assert not isinstance(result, Exception)
        process, threads = result
        assert process != os.getpid()
        assert threads == 1


def test_one_job_runs_in_this_process() -> None:
    threads = torch.get_num_threads()
    assert list(worker_pool.unordered(process_and_threads, [0], jobs=1)) == [(0, (os.getpid(), threads))]


def test_unpicklable_results_become_runtime_errors() -> None:
    [(_, result)] = worker_pool.unordered(raise_unpicklable, [3], jobs=2)
    assert isinstance(result, RuntimeError)
    assert str(result) == "UnpicklableError: 3 is not 3"
    [(_, unpicklable)] = worker_pool.unordered(return_unpicklable, [3], jobs=2)
    assert isinstance(unpicklable, RuntimeError)


def test_functions_with_tensors_reach_the_workers() -> None:
    assert sorted(worker_pool.unordered(partial(add, torch.tensor(40)), [1, 2], jobs=2)) == [(1, 41), (2, 42)]


def test_items_are_consumed_lazily() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(0, 40, 2):
            taken.append(number)
            yield number

    for done, _ in enumerate(worker_pool.unordered(half, items(), jobs=2), start=1):
        assert len(taken) <= done + 3  # two items in progress, and two results that arrived together
    assert len(taken) == 20


def test_no_items_give_no_results() -> None:
    assert list(worker_pool.unordered(half, [], jobs=2)) == []


def test_jobs_must_be_positive() -> None:
    with pytest.raises(ValueError, match="not 0"):
        list(worker_pool.unordered(half, [0], jobs=0))


def test_closing_kills_the_workers_immediately(tmp_path: Path) -> None:
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


def test_ctrl_c_ends_all_processes_without_tracebacks(tmp_path: Path) -> None:
    """Ctrl-C in a terminal sends SIGINT to all processes in the group."""
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


def test_script_without_main_guard_gets_a_helpful_error(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from raygenre.system import worker_pool\n"
        "from tests.helpers.tasks import half\n"
        "list(worker_pool.unordered(half, [0], jobs=2))\n"
    )
    finished = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 1
    assert "must be under" in finished.stderr
