"""Functions that tests run in worker processes. The module has no slow imports."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def half(number: int) -> int:
    """Return half of an even number.

    13 crashes the process, 17 makes the process exit, and all other odd numbers raise an error.
    """
    if number == 13:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 17:
        sys.exit(3)
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


class UnpicklableError(Exception):
    """An exception that can be pickled but not unpickled, because its constructor takes two arguments."""

    def __init__(self, actual: int, expected: int) -> None:
        super().__init__(f"{actual} is not {expected}")


def raise_unpicklable(number: int) -> int:
    raise UnpicklableError(number, number)


def return_unpicklable(number: int) -> "Callable[[], int]":
    return lambda: number


def process_and_threads(_: int) -> tuple[int, int]:
    """Return the process id and the number of torch threads in the process."""
    import torch

    return os.getpid(), torch.get_num_threads()


def sleep(folder: Path, seconds: float) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(seconds)


def add(tensor: "Tensor", number: int) -> int:
    return int(tensor) + number
