"""A pool of worker processes that survives crashes of its workers.

The pool applies a function to many items. Decoders are C code, and a damaged file may crash the process that decodes
it. Therefore each worker has its own pipe and processes a single item at a time: if a worker dies, the pool reports its
item as failed and starts a new worker. At most one item per worker is in progress and results are passed on
immediately, so memory use does not depend on the number of items.

Workers are spawned, not forked, so the main code of a script that uses more than one job must be under
`if __name__ == "__main__":`.
"""

import os
import pickle
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import islice
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from raygenre.errors import RaygenreError

Item = TypeVar("Item")
Result = TypeVar("Result")

_FEW_SONGS = 16  # a single process handles this many songs in the few seconds that workers need for their imports


class WorkerDiedError(RaygenreError, RuntimeError):
    """A worker process died while processing an item. The message states its signal or exit status."""


class WorkerStartError(RaygenreError, RuntimeError):
    """A worker process died before it was ready."""


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def suitable_jobs(songs: int) -> int:
    """Return the fastest number of jobs: 1 for a few songs, otherwise one per core."""
    return 1 if songs <= _FEW_SONGS else cores()


def unordered(
    function: Callable[[Item], Result], items: Iterable[Item], *, jobs: int
) -> Generator[tuple[Item, Result | Exception], None, None]:
    """Yield each item with the function's result or the exception that it raised, in the order in which items finish.

    The workers are killed immediately when the iterator is closed (`contextlib.closing`) or when an exception such as
    KeyboardInterrupt is raised while the iterator waits.

    Args:
        function: a module-level function, or a `functools.partial` of such a function. In workers, torch uses a single
            thread.
        items: the items to process, taken one at a time as workers become free.
        jobs: number of worker processes. With 1, the calling process does the work, and a crash ends that process.

    Raises:
        ValueError: `jobs` is not positive.
        WorkerStartError: a worker process does not start.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    if jobs == 1:
        for item in items:
            yield item, _attempt(function, item)
        return
    # Pickled here, because multiprocessing's own pickler shares tensors as files once torch is imported.
    pickled = pickle.dumps(function)
    remaining = iter(items)
    idle: list[_Worker[Item]] = []
    busy: list[_Worker[Item]] = []
    finished: list[tuple[Item, Any]] = []
    try:
        while True:
            for item in islice(remaining, jobs - len(busy)):
                busy.append(idle.pop() if idle else _Worker(pickled))
                busy[-1].send(item)
            yield from finished  # after `send`, so that workers are busy while the caller handles these results
            finished = []
            if not busy:
                return
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                for result in worker.receive():
                    finished.append((worker.item, result))
                    busy.remove(worker)
                    if worker.alive:
                        idle.append(worker)
    finally:
        for worker in (*idle, *busy):
            worker.stop()


def ordered(
    function: Callable[[Item], Result], items: Sequence[Item], *, jobs: int
) -> Generator[tuple[Item, Result | Exception], None, None]:
    """Yield the same pairs as `unordered`, in the order of the items; results stay in memory until it is their turn."""
    early: dict[int, Result | Exception] = {}
    following = 0
    with closing(unordered(partial(_with_number, function), list(enumerate(items)), jobs=jobs)) as results:
        for (number, _), result in results:
            early[number] = result
            while following in early:
                yield items[following], early.pop(following)
                following += 1


def _with_number(function: Callable[[Item], Result], numbered: tuple[int, Item]) -> Result:
    return function(numbered[1])


class _Worker(Generic[Item]):
    """A worker process, the parent's end of its pipe, and its current or last item."""

    item: Item

    def __init__(self, pickled: bytes) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, pickled), daemon=True)
        self._started, self.alive = False, True
        # Ctrl-C in a terminal reaches all processes, but only this process handles it, because workers would just print
        # tracebacks. If the signal is blocked here while a worker starts, it stays blocked in the worker.
        resource_tracker.ensure_running()  # in advance, because starting the tracker unblocks the signal
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def send(self, item: Item) -> None:
        self.item = item
        with suppress(OSError):  # a dead worker is detected by `receive`
            self.connection.send(item)

    def receive(self) -> list[Any]:
        """Return a list with the result that arrived, or an empty list if the worker only reported that it started.

        Raises:
            WorkerStartError: the process died before it was ready.
        """
        try:
            message = self.connection.recv_bytes()
        except (EOFError, OSError) as error:
            self.stop(kill=False)
            if not self._started:
                raise WorkerStartError(
                    "a worker process could not start; the main code of a script that uses several jobs must be under "
                    'if __name__ == "__main__":'
                ) from error
            return [WorkerDiedError(f"the worker process died with {_cause(self._process.exitcode)}")]
        if self._started:
            return [pickle.loads(message)]  # noqa: S301 (our own process wrote it)
        self._started = True
        return []

    def stop(self, *, kill: bool = True) -> None:
        self.alive = False
        if kill:
            self._process.kill()
        self._process.join()
        self.connection.close()


def _work(connection: "Connection[Any, Any]", pickled: bytes) -> None:
    """Process items until the other end of the pipe is closed."""
    os.environ["OMP_NUM_THREADS"] = "1"  # set first, because unpickling the function may import torch
    function = pickle.loads(pickled)  # noqa: S301 (our own process wrote it)
    if torch := sys.modules.get("torch"):  # torch was imported, for instance by the main script
        torch.set_num_threads(1)
    connection.send_bytes(b"started")
    with suppress(EOFError, OSError):
        while True:
            connection.send_bytes(_portable(_attempt(function, connection.recv())))


def _attempt(function: Callable[[Item], Result], item: Item) -> Result | Exception:
    try:
        return function(item)
    except Exception as error:  # noqa: BLE001 (any exception is the result of this item)
        return error


def _portable(result: object) -> bytes:
    """Pickle a result; if it cannot be pickled and unpickled, pickle a RuntimeError that describes the error."""
    try:
        data = pickle.dumps(result)
        if isinstance(result, Exception):
            pickle.loads(data)  # noqa: S301 (pickled on the previous line); some exceptions cannot be unpickled
        return data
    except Exception as error:  # noqa: BLE001 (pickling may raise anything)
        cause = result if isinstance(result, Exception) else error
        return pickle.dumps(RuntimeError(f"{type(cause).__name__}: {cause}"))


def _cause(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"exit status {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"{name}, possibly out of memory" if name == "SIGKILL" else name
