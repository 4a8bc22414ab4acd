"""Apply a function to many items in worker processes, and outlive those that crash.

Decoders are C code that a damaged file may crash, and such a crash takes its process with it. So each worker has one
item at a time: when it dies, that item is known, and another worker takes the next. At most one item a worker is on
its way, and results are handed on as they come and not kept: memory stays flat however many items there are.

Workers are spawned, not forked: a script that asks for more than one job must be guarded by
`if __name__ == "__main__"`.
"""

import os
import pickle
import signal
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from itertools import islice
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from raygenre.errors import RaygenreError

Item = TypeVar("Item")
Result = TypeVar("Result")

_FEW = 16  # songs that one process has done before others have imported what they need, which takes some seconds


class WorkerDiedError(RaygenreError, RuntimeError):
    """The process that worked on an item ended without an answer; the message says how."""


def cores() -> int:
    """How many processes can compute at the same time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def suitable_jobs(songs: int) -> int:
    """How many processes have done a number of songs soonest: for a few this one alone, else one a core."""
    return 1 if songs <= _FEW else cores()


def unordered(
    function: Callable[[Item], Result], items: Iterable[Item], *, jobs: int
) -> Generator[tuple[Item, Result | Exception], None, None]:
    """Yield each item with the function's result, or with the exception that it raised, as they are done.

    Closing the iterator (`contextlib.closing`) ends the workers at once, whatever they are doing, and so does an
    exception that is raised while it waits, such as KeyboardInterrupt.

    Args:
        function: of a module, or a `functools.partial` of such a function. In a worker it has one torch thread.
        items: taken one by one, as workers become free.
        jobs: worker processes. With 1 there are none: all is done in this process, which a crash would end.

    Raises:
        ValueError: `jobs` is not positive.
        RuntimeError: worker processes do not start.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    if jobs == 1:
        for item in items:
            yield item, _attempt(function, item)
        return
    pickled = pickle.dumps(function)  # not left to multiprocessing, to which torch has taught to share tensors as files
    to_come = iter(items)
    idle: list[_Worker[Item]] = []
    busy: list[_Worker[Item]] = []
    finished: list[tuple[Item, Any]] = []
    try:
        while True:
            for item in islice(to_come, jobs - len(busy)):
                busy.append(idle.pop() if idle else _Worker(pickled))
                busy[-1].send(item)
            yield from finished  # now that every worker has something to do
            finished = []
            if not busy:
                return
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                for result in worker.received():
                    finished.append((worker.item, result))
                    busy.remove(worker)
                    if worker.alive:
                        idle.append(worker)
    finally:
        for worker in (*idle, *busy):
            worker.end()


class _Worker(Generic[Item]):
    """A process, our end of the pipe to it, and the item that it has or had last."""

    item: Item

    def __init__(self, pickled: bytes) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, pickled), daemon=True)
        self._started, self.alive = False, True
        # Ctrl-C reaches every process of the terminal. It is for this one to answer; the others would only print
        # where they were. What is blocked here while a process starts stays blocked there.
        resource_tracker.ensure_running()  # starting it along with the first process would unblock the signal
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def send(self, item: Item) -> None:
        self.item = item
        with suppress(OSError):  # if it is dead already, receiving will say so
            self.connection.send(item)

    def received(self) -> list[Any]:
        """The result that has come, or none: the first message of a worker is that it has started.

        Raises:
            RuntimeError: it could not start.
        """
        try:
            message = self.connection.recv_bytes()
        except (EOFError, OSError) as error:
            self.end(killing=False)
            if not self._started:
                raise RuntimeError(
                    "a worker process could not start; a script that uses several must be guarded by "
                    'if __name__ == "__main__"'
                ) from error
            return [WorkerDiedError(f"the process that worked on it ended with {_cause(self._process.exitcode)}")]
        if self._started:
            return [pickle.loads(message)]  # noqa: S301 (our own process wrote it)
        self._started = True
        return []

    def end(self, *, killing: bool = True) -> None:
        self.alive = False
        if killing:
            self._process.kill()
        self._process.join()
        self.connection.close()


def _work(connection: "Connection[Any, Any]", pickled: bytes) -> None:
    """What a worker does, until the other end of the pipe is closed."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read by torch when it is imported: with the function, or later by it
    function = pickle.loads(pickled)  # noqa: S301 (our own process wrote it)
    if torch := sys.modules.get("torch"):  # or with the script that is run, before this function
        torch.set_num_threads(1)
    connection.send_bytes(b"started")
    with suppress(EOFError, OSError):
        while True:
            connection.send_bytes(_portable(_attempt(function, connection.recv())))


def _attempt(function: Callable[[Item], Result], item: Item) -> Result | Exception:
    try:
        return function(item)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is the answer for this item)
        return error


def _portable(result: object) -> bytes:
    """Pickle a result; of what cannot be pickled and read again, the type and the message."""
    try:
        data = pickle.dumps(result)
        if isinstance(result, Exception):
            pickle.loads(data)  # noqa: S301 (written in the line before); some exceptions cannot be made again
        return data
    except Exception as error:  # noqa: BLE001 (classes decide themselves what pickling raises)
        failed = result if isinstance(result, Exception) else error
        return pickle.dumps(RuntimeError(f"{type(failed).__name__}: {failed}"))


def _cause(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"status {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"{name}, as when memory runs out" if name == "SIGKILL" else name
