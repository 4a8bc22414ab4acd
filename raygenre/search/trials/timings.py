"""What a search has to do, and the times of its phases and training runs so far.

All times are in s, from one monotonic clock.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Work:
    """The work that a search has to do.

    Attributes:
        trials: number of trials.
        epochs: number of epochs of a trial that is not stopped early, and of a repeat.
        finalists: number of best settings that are repeated.
        repeats: number of repeats of each finalist.
        slots: number of training runs that fit on the cluster at the same time.
        rungs: epochs after which trials may be stopped.
        kept: share of the trials that is expected to continue after each rung, used until enough trials reach it.
        final_epoch: duration of an epoch of the final training, relative to an epoch of a trial.
        uses_last_epoch: whether the final training may have as many epochs as a trial; see `TrainingConfig`.
    """

    trials: int
    epochs: int
    finalists: int
    repeats: int
    slots: int
    rungs: tuple[int, ...] = ()
    kept: float = 1.0
    final_epoch: float = 1.0
    uses_last_epoch: bool = False


@dataclass(frozen=True)
class Run:
    """A training run: a trial, a repeat or the final training.

    Attributes:
        trial: number of the trial with the run's setting.
        started: when its worker started, or was requested; None while the run waits.
        marks: times, each with the number of epochs that had ended by then; may start with 0 epochs or, for a resumed
            run, with those completed before the pause.
        ended: when it ended; None until then.
        loss: lowest validation loss; infinity until it is known, and for failed runs.
        best_epoch: the epoch with this loss; for a repeat, the epoch whose network would be used (see `Repeat`).
    """

    trial: int
    started: float | None = None
    marks: tuple[tuple[float, int], ...] = ()
    ended: float | None = None
    loss: float = math.inf
    best_epoch: int = 0

    @property
    def epochs(self) -> int:
        """Number of epochs that have ended."""
        return self.marks[-1][1] if self.marks else 0

    @property
    def pace(self) -> tuple[float, int]:
        """Observed training time, and the number of epochs completed in that time."""
        if len(self.marks) < 2:
            return 0.0, 0
        (first, before), (last, done) = self.marks[0], self.marks[-1]
        return (last - first, done - before) if done > before else (0.0, 0)


@dataclass(frozen=True)
class Observed:
    """What has been observed during a search.

    Attributes:
        phases: when each phase started; see `raygenre.search.trials.time_left.PHASES`.
        trials: the known trials; interrupted trials count as waiting.
        repeats: the repeats that this driver trains; None until they are known.
        final: the final training; None until it starts.
        final_epochs: number of epochs of the final training; 0 until it is known.
    """

    phases: Mapping[str, float] = field(default_factory=dict)
    trials: Sequence[Run] = ()
    repeats: Sequence[Run] | None = None
    final: Run | None = None
    final_epochs: int = 0
