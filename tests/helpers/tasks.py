"""What the tests of worker processes have done there; without imports that would take a worker seconds."""

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
    """Half of an even number; others show what may go wrong."""
    if number == 13:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 17:
        sys.exit(3)
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


class ParticularError(Exception):
    """Can be pickled, and not be made again."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} against {other}")


def particular(number: int) -> int:
    raise ParticularError(number, number)


def unpicklable(number: int) -> "Callable[[], int]":
    return lambda: number


def surroundings(_: int) -> tuple[int, int]:
    """The process and torch's number of threads in it."""
    import torch

    return os.getpid(), torch.get_num_threads()


def sleep(folder: Path, seconds: float) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(seconds)


def add(one: "Tensor", other: int) -> int:
    return int(one) + other
