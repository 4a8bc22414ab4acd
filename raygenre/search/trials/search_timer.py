"""Times the training runs and phases of a search, and estimates the time that is left."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from optuna.trial import FrozenTrial, TrialState

from raygenre.search.study.ledger import EPOCH_TIMES, Ledger, losses
from raygenre.search.trials.phases import Display, Phase
from raygenre.search.trials.time_left import seconds_left
from raygenre.search.trials.timings import Observed, Run, Work
from raygenre.search.trials.trial_result import EpochResult


class SearchTimer:
    """Measures the times of one search in this driver.

    Trials that earlier drivers finished are read from the ledger, with the times of their epochs.

    Attributes:
        work: the work that the search has to do.
        limited: function that reduces an estimate of the time left, in s, if a limit will keep trials from starting.

    Args:
        clock: returns the time in s.
    """

    def __init__(self, ledger: Ledger, work: Work, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.work = work
        self.limited: Callable[[float], float] = lambda seconds: seconds
        self._clock = clock
        self._phases: dict[str, float] = {}
        self._trials = {trial.number: _earlier(trial) for trial in ledger.trials}
        self._trained = {number: run.epochs for number, run in self._trials.items()}  # epochs of earlier drivers
        self._repeats: dict[tuple[int, int], Run] = {}
        self._planned = False
        self._final: Run | None = None
        self._final_epochs = 0

    @contextmanager
    def phase(self, display: Display, name: str, details: str = "", *, bar: bool = True) -> Iterator[Phase]:
        """Record the start of a phase, and display it together with the time left; see `Display.phase`."""
        self._phases[name] = self._clock()
        with display.phase(name, details, bar=bar, seconds_left=self.seconds_left) as phase:
            yield phase

    def trial_started(self, number: int) -> None:
        now, trained = self._clock(), self._trained.get(number, 0)
        marks = ((now, trained),) if trained else ()
        self._trials[number] = replace(self._trials.get(number, Run(number)), started=now, marks=marks)

    def trial_interrupted(self, number: int) -> None:
        """Record that a trial is waiting for a new worker after its worker died, possibly before the trial started."""
        run = self._trials.get(number, Run(number))
        self._trained[number] = run.epochs
        self._trials[number] = replace(run, started=None)

    def epoch_ended(self, number: int, epoch: EpochResult) -> None:
        """Record the end of an epoch of a trial; a resumed trial reports its earlier epochs again."""
        now, run, trained = self._clock(), self._trials[number], self._trained.get(number, 0)
        if epoch.epoch < trained:
            return
        # The first epoch starts later than the worker, because the worker first loads the tracks.
        before = run.marks or ((now - epoch.seconds, epoch.epoch - 1),)
        marks = ((now, trained),) if epoch.epoch == trained else (*before, (now, epoch.epoch))
        better = epoch.validation_loss < run.loss
        self._trials[number] = replace(
            run,
            marks=marks,
            loss=epoch.validation_loss if better else run.loss,
            best_epoch=epoch.epoch if better else run.best_epoch,
        )

    def trial_ended(self, number: int) -> None:
        self._trials[number] = replace(self._trials.get(number, Run(number)), ended=self._clock())

    def repeats_planned(self, repeats: Sequence[tuple[int, int]]) -> None:
        """Record which repeats are still to be trained; each is identified by its trial's number and its index."""
        self._repeats, self._planned = {repeat: Run(repeat[0]) for repeat in repeats}, True
        self._start_repeats()

    def repeat_progressed(self, repeat: tuple[int, int], epochs: int) -> None:
        """Record the number of epochs that a running repeat has completed."""
        self._repeats[repeat] = self._advanced(self._repeats[repeat], epochs)

    def repeat_paused(self, repeat: tuple[int, int]) -> None:
        """Record that a repeat is waiting for a place again."""
        self._repeats[repeat] = replace(self._repeats[repeat], started=None)

    def repeat_ended(self, repeat: tuple[int, int], epoch: int) -> None:
        """Record the end of a repeat and its chosen epoch, which is 0 if the repeat failed."""
        self._repeats[repeat] = replace(self._repeats[repeat], ended=self._clock(), best_epoch=epoch)
        self._start_repeats()

    def final_started(self, trial: int, epochs: int) -> None:
        self._final, self._final_epochs = Run(trial, started=self._clock()), epochs

    def final_paused(self) -> None:
        """Record that the final training is waiting for a place again."""
        assert self._final
        self._final = replace(self._final, started=None)

    def final_progressed(self, epochs: int) -> None:
        """Record the number of epochs that the final training has completed."""
        assert self._final
        self._final = self._advanced(self._final, epochs)

    def seconds_left(self) -> float | None:
        """Return an estimate of the time until the search ends; None until an epoch has been timed."""
        estimate = seconds_left(self.work, self.observed(), self._clock())
        return estimate if estimate is None else self.limited(estimate)

    def seconds_left_with(self, trials: int) -> float | None:
        """Return the estimate for a different number of trials, without other limits."""
        return seconds_left(replace(self.work, trials=trials), self.observed(), self._clock())

    def observed(self) -> Observed:
        """Return the observations so far."""
        return Observed(
            phases=dict(self._phases),
            trials=tuple(self._trials.values()),
            repeats=tuple(self._repeats.values()) if self._planned else None,
            final=self._final,
            final_epochs=self._final_epochs,
        )

    def _advanced(self, run: Run, epochs: int) -> Run:
        now = self._clock()
        if epochs <= run.epochs:
            return run
        if run.started is None:  # the run continues after a pause, which must not count as training time
            return replace(run, started=now, marks=((now, epochs),))
        return replace(run, marks=(*run.marks, (now, epochs)))

    def _start_repeats(self) -> None:
        """Assume that the next repeats have started, because Ray does not report when it starts a task.

        A paused repeat that has completed epochs starts again with its next epoch.
        """
        active = [repeat for repeat, run in self._repeats.items() if run.ended is None]
        free = self.work.slots - sum(self._repeats[repeat].started is not None for repeat in active)
        waiting = [
            repeat for repeat in active if self._repeats[repeat].started is None and not self._repeats[repeat].marks
        ]
        for repeat in waiting[: max(free, 0)]:
            self._repeats[repeat] = replace(self._repeats[repeat], started=self._clock())


def _earlier(trial: FrozenTrial) -> Run:
    """Return the run of a trial that an earlier driver started; it counts as waiting unless it has ended."""
    curve = losses(trial)
    best = min(curve, key=lambda epoch: curve[epoch], default=0)
    times = {int(epoch): at for epoch, at in trial.user_attrs.get(EPOCH_TIMES, {}).items()}
    return Run(
        trial.number,
        marks=tuple((at, epoch) for epoch, at in sorted(times.items())) or ((0.0, max(curve, default=0)),),
        ended=0.0 if trial.state.is_finished() else None,
        loss=curve[best] if trial.state != TrialState.FAIL and curve else math.inf,
        best_epoch=best,
    )
