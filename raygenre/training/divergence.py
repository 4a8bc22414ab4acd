"""Detects that training has diverged: the loss is far above that of guessing.

A network that predicts the same probability for each of G genres has a loss of log G nats. A loss of more than
`MAX_LOSS_RATIO` times this value means that the network is confident and wrong; it will not recover.
"""

import math

from raygenre.errors import RaygenreError
from raygenre.system.numbers import loss_text

MAX_LOSS_RATIO = 10.0


class DivergedError(RaygenreError, ArithmeticError):
    """Training diverged; the message contains the loss and the epoch."""


def check_loss(loss: float, *, genres: int, name: str, where: str) -> None:
    """Raise DivergedError if a loss is NaN, infinite, or more than `MAX_LOSS_RATIO` times that of guessing.

    Args:
        loss: mean loss in nats.
        genres: number of classes.
        name, where: name of the loss and the epoch, for the message.
    """
    check_finite(loss, name=name, where=where)
    guessing = math.log(genres)
    if loss > MAX_LOSS_RATIO * guessing:
        raise DivergedError(
            f"the {name} loss is {loss_text(loss)} {where}, more than {MAX_LOSS_RATIO:g} times that of guessing "
            f"({loss_text(guessing)})"
        )


def check_finite(loss: float, *, name: str, where: str) -> None:
    """Raise DivergedError if a loss is NaN or infinite; the arguments are those of `check_loss`."""
    if not math.isfinite(loss):
        raise DivergedError(f"the {name} loss is {loss} {where}")
