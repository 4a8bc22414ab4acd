"""Estimates how long a search will still take, from the times of its training runs so far.

The estimate covers all phases: trials, repeats, final training, evaluation, registration and the comparison with the
champion. It is a pure function of the work, the observations and the current time, so it can be tested on recorded
searches. All times are in s, from one monotonic clock.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from raygenre.search.trials.timings import Observed, Run, Work

_PRIOR = 2  # number of a run's own epochs that together weigh as much as the mean of all runs
_CLOSING = {"evaluation": 0.6, "registration": 1.2, "champion": 0.5}  # s, on 2 cores of an AMD EPYC
_STARTUP = 4.5  # s until a new worker starts training on the same machine, which is the reference for others
_SPEEDS = (0.25, 8.0)  # range of the factor by which a machine is slower than the reference

PHASES = ("trials", "repeats", "final", *_CLOSING)
"""The phases of a search, in order."""


def seconds_left(work: Work, seen: Observed, now: float) -> float | None:
    """Return an estimate of the time until the search ends; None until an epoch has been timed."""
    phase = max((PHASES.index(name) for name in seen.phases), default=0)
    slowness = min(max(_startup(work, seen) / _STARTUP, _SPEEDS[0]), _SPEEDS[1])
    closing = sum(_closing(name, slowness, seen, now) for name in PHASES[max(phase, 3) :])
    if phase >= PHASES.index("evaluation"):
        return closing
    paces = [run.pace for run in (*seen.trials, *(seen.repeats or ())) if run.pace[1]]
    if not paces:
        return None
    estimate = _Estimate(work, seen, now, epoch=float(np.mean([seconds / epochs for seconds, epochs in paces])))
    training = (estimate.trials, estimate.repeats, estimate.final)[phase:]
    return sum(left() for left in training) + closing


class _Estimate:
    """The time left in each of the training phases, in s."""

    def __init__(self, work: Work, seen: Observed, now: float, *, epoch: float) -> None:
        self._work, self._seen, self._now, self._epoch = work, seen, now, epoch
        complete = [run for run in seen.trials if run.ended is not None and run.epochs >= work.epochs]
        self._best = sorted(complete, key=lambda run: run.loss)[: work.finalists]
        self._between = _time_between(seen.trials, work.slots)
        self._stages = _stages(work, seen.trials)

    def trials(self) -> float:
        running: list[float] = []
        waiting: list[float] = []
        for run in (run for run in self._seen.trials if run.ended is None):
            left = self._remaining(run, self._epochs_ahead(run.epochs), self._between, self._epoch)
            (waiting if run.started is None else running).append(left)
        new = self._between + self._epochs_ahead(0) * self._epoch
        waiting += [new] * max(0, self._work.trials - len(self._seen.trials))
        return _makespan(running, waiting, self._work.slots)

    def repeats(self) -> float:
        if (repeats := self._seen.repeats) is None:
            epochs = [self._epoch_of(run.trial) for run in self._best]
            more = min(self._work.finalists - len(epochs), self._completions_ahead())
            epochs += [self._epoch * min(more - index, 1.0) for index in range(math.ceil(more))]
            jobs = [self._work.epochs * epoch for epoch in epochs for _ in range(self._work.repeats)]
            return _startup(self._work, self._seen) + _makespan([], jobs, self._work.slots)
        first_end = min((run.ended for run in repeats if run.ended is not None), default=math.inf)
        running: list[float] = []
        waiting: list[float] = []
        for run in (run for run in repeats if run.ended is None):
            on_new_worker = run.started is not None and run.started < first_end
            start = _startup(self._work, self._seen) if on_new_worker else self._between
            left = self._remaining(run, self._work.epochs - run.epochs, start, self._epoch_of(run.trial))
            (waiting if run.started is None else running).append(left)
        return _makespan(running, waiting, self._work.slots)

    def final(self) -> float:
        if final := self._seen.final:
            epoch = self._epoch_of(final.trial) * self._work.final_epoch
            return self._remaining(final, self._seen.final_epochs - final.epochs, 0.0, epoch)
        trials = [] if self._work.uses_last_epoch else self._best
        ended = [run for run in self._seen.repeats or () if run.best_epoch] or trials
        epochs = float(np.mean([run.best_epoch for run in ended])) if ended else self._work.epochs
        best = [self._epoch_of(run.trial) for run in self._best] or [self._epoch]
        return epochs * float(np.mean(best)) * self._work.final_epoch

    def _remaining(self, run: Run, epochs: float, start: float, epoch: float) -> float:
        """Return the time that a run needs to train this many more epochs."""
        if epochs <= 0:
            return 0.0
        seconds, done = run.pace
        epoch = (seconds + _PRIOR * epoch) / (done + _PRIOR)
        if run.started is None:
            return start + epochs * epoch
        since, left = (run.marks[-1][0], 0.0) if run.marks else (run.started, start)
        # An epoch that takes longer than expected is assumed to be about to end.
        return max(left + epochs * epoch - (self._now - since), (epochs - 1) * epoch, 0.0)

    def _epoch_of(self, trial: int) -> float:
        """Return the expected duration of an epoch with a trial's setting."""
        return self._epoch_in_trial(trial) * self._drift()

    def _epoch_in_trial(self, trial: int) -> float:
        seconds, epochs = next((run.pace for run in self._seen.trials if run.trial == trial), (0.0, 0))
        return (seconds + _PRIOR * self._epoch) / (epochs + _PRIOR)

    def _drift(self) -> float:
        """Return the factor by which the repeats are slower than the trials with the same settings."""
        paces = [(run.trial, *run.pace) for run in self._seen.repeats or ()]
        expected = sum(epochs * self._epoch_in_trial(trial) for trial, _, epochs in paces)
        known = _PRIOR * self._epoch
        if not expected + known:  # the ledger rounds times, so very short epochs seem to take no time
            return 1.0
        return (sum(seconds for _, seconds, _ in paces) + known) / (expected + known)

    def _completions_ahead(self) -> float:
        """Return how many more trials are expected to complete all epochs."""
        done = [run.epochs for run in self._seen.trials if run.ended is None]
        done += [0] * max(0, self._work.trials - len(self._seen.trials))
        return sum(math.prod(stage.continues for stage in self._stages[:-1] if stage.last > epochs) for epochs in done)

    def _epochs_ahead(self, done: int) -> float:
        """Return the expected number of epochs that a trial will still train."""
        expected, share = 0.0, 1.0
        for stage in self._stages:
            if stage.last > done:
                expected += share * (stage.length if done <= stage.first else stage.last - done)
                share *= stage.continues
        return expected


@dataclass(frozen=True)
class _Stage:
    """The epochs of a trial from one rung to the next.

    Attributes:
        first, last: number of epochs before the stage and at its end.
        length: mean number of epochs that a trial spends in the stage.
        continues: share of the trials that continue after the stage.
    """

    first: int
    last: int
    length: float
    continues: float


def _stages(work: Work, trials: Sequence[Run]) -> list[_Stage]:
    """Return the stages of a trial, with their mean lengths and the shares of the trials that continue after them."""
    stages, first = [], 0
    for last in [*(rung for rung in work.rungs if rung < work.epochs), work.epochs]:
        continued = sum(run.epochs > last or (run.epochs == last and run.ended is None) for run in trials)
        ended = [run.epochs for run in trials if run.ended is not None and first < max(run.epochs, 1) <= last]
        lengths = [last - first] * continued + [epochs - first for epochs in ended]
        stages.append(
            _Stage(
                first,
                last,
                float(np.mean(lengths)) if lengths else last - first,
                (continued + work.kept) / (continued + len(ended) + 1),
            )
        )
        first = last
    return stages


def _time_between(trials: Sequence[Run], slots: int) -> float:
    """Return the mean time from the end of a trial to the first epoch of the trial that replaces it."""
    here = [run for run in trials if run.started is not None]  # trials that started in this driver
    ends = sorted(run.ended for run in here if run.ended is not None)
    begins = sorted(run.marks[0][0] for run in here if run.marks)[slots:]
    gaps = [max(begin - end, 0.0) for end, begin in zip(ends, begins, strict=False)]
    return float(np.mean(gaps)) if gaps else 0.0


def _startup(work: Work, seen: Observed) -> float:
    """Return the time that a new worker needs before it starts training, averaged over the first workers."""
    begins = sorted(run.marks[0][0] for run in seen.trials if run.marks and run.started is not None)
    if "trials" not in seen.phases or not begins:
        return _STARTUP
    return max(float(np.mean(begins[: work.slots])) - seen.phases["trials"], 0.0)


def _closing(name: str, slowness: float, seen: Observed, now: float) -> float:
    """Return the time left in one of the phases that follow the training."""
    seconds = _CLOSING[name] * slowness
    return max(seconds - (now - seen.phases.get(name, now)), 0.1 * seconds)


def _makespan(running: Iterable[float], waiting: Iterable[float], slots: int) -> float:
    """Return the time at which the last job ends if each waiting job takes the next free slot."""
    busy = list(running)
    busy += [0.0] * (slots - len(busy))
    heapq.heapify(busy)
    for job in waiting:
        heapq.heapreplace(busy, busy[0] + job)
    return max(busy, default=0.0)
