"""The threads that share a network's computation run on different cores."""

import os
import sys
import threading
from collections.abc import Callable

import pytest

from serve.inference.helper_threads import HelperThreads

on_several_cores = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and at least two cores"
)


def in_thread(work: Callable[[], None]) -> None:
    """Run a function in a thread that has not started OpenMP's threads yet."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (raised below)
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


@on_several_cores
def test_helpers_leave_the_core_of_their_thread() -> None:
    def check() -> None:
        cores = os.sched_getaffinity(0)
        helpers = HelperThreads(2)
        assert len(helpers._ids) == 1
        assert os.sched_getaffinity(helpers._ids[0]) == cores
        first, second = sorted(cores)[:2]
        for own, other in ((first, second), (second, first)):
            os.sched_setaffinity(0, {own})  # moves this thread at once
            os.sched_setaffinity(0, {own, other})  # it stays while the core is free
            helpers.leave_core()
            assert os.sched_getaffinity(helpers._ids[0]) == {first, second} - {helpers._avoided}

    in_thread(check)


@on_several_cores
def test_helpers_stay_if_there_is_no_other_core() -> None:
    def check() -> None:
        helpers = HelperThreads(2)
        before = os.sched_getaffinity(helpers._ids[0])
        os.sched_setaffinity(0, {min(before)})
        helpers.leave_core()
        assert os.sched_getaffinity(helpers._ids[0]) == before

    in_thread(check)
