"""Runs the trials of a search under Ray Tune until the study contains all of them."""

import functools
import logging
import os
import sys
from collections.abc import Callable

import ray
from ray import tune
from ray.tune import TuneError
from ray.tune.stopper import CombinedStopper

from raygenre.search.controls import SearchStopped
from raygenre.search.space.choices import MAX_FAILURES
from raygenre.search.space.config import Resources
from raygenre.search.space.samplers import sampler
from raygenre.search.study.ledger import Ledger
from raygenre.search.trials import worker
from raygenre.search.trials.failure_watch import RESTARTS, FailureWatch
from raygenre.search.trials.foreign_watch import ForeignWatch
from raygenre.search.trials.memory_monitor import MemoryWatch, memory_monitor_survived
from raygenre.search.trials.phases import Display
from raygenre.search.trials.places import Places
from raygenre.search.trials.places_scheduler import PlacesScheduler
from raygenre.search.trials.progress import TrialProgress
from raygenre.search.trials.recorder import TrialRecorder
from raygenre.search.trials.scheduler import scheduler
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.search.trials.searcher import LedgerSearcher
from raygenre.search.trials.trainable import Plan, Tracks
from raygenre.search.trials.trial_config import TrialConfig
from raygenre.search.trials.trial_limits import ENDED_EARLY, TrialLimits
from raygenre.tracking.tracker import Tracker


class Interrupted(KeyboardInterrupt):
    """The user ended the search with Ctrl-C; the ledger contains everything, and `--resume` continues the search."""


def run_trials(
    ledger: Ledger,
    plan: Plan,
    tracks: "ray.ObjectRef[Tracks]",
    *,
    resources: Resources,
    tracker: Tracker,
    parent: str,
    display: Display,
    timer: SearchTimer,
    places: Places,
    limits: TrialLimits,
    max_failures: int = MAX_FAILURES,
    trainable: Callable[..., None] = worker.run,
) -> None:
    """Run trials until the study contains all of them, or as many as its time budget and patience allow.

    Args:
        parent: key of the search's MLflow run.
        max_failures: number of trials in a row that may fail for the same reason; 0 for any number.
        trainable: function that a trial executes; `benchmarks/orchestration.py` passes one that only sleeps.

    Raises:
        Interrupted: the user pressed Ctrl-C.
        SearchStopped: the search was asked to stop, and the epochs in progress have ended.
        SearchFailedError: too many trials in a row failed for the same reason; the message states the reason.
        OSError: a disk on the driver's or a worker's machine is full or read-only.
    """
    config = ledger.config
    recorder = TrialRecorder(ledger, tracker, parent)
    recorder.finish_recording()
    controls = places.controls
    started = len(ledger.trials)
    if not ledger.unfinished() and not limits.allow_another(started, started):
        return
    _quiet_tune()
    progress = TrialProgress(ledger, display, timer)
    failures = FailureWatch(ledger, display, limit=max_failures)
    foreign = ForeignWatch(ledger, display)
    foreign.report()
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # only the old output style can be disabled completely
    # A trial that diverged reports its failure without the metric, which Tune would otherwise require.
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(
        7 * 86_400
    )  # Tune's snapshots grow with the number of trials, and are never read
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(sys.maxsize)  # `Places.may_ask` limits the pending trials
    optuna_sampler = sampler(config.sampler, seed=config.seed, trials=config.trials, past_trials=len(ledger.trials))
    work = tune.with_resources(
        functools.partial(trainable, plan=ray.put(plan), shared=[tracks]),
        {"cpu": resources.cpus, "gpu": resources.gpus},
    )
    placing = PlacesScheduler(
        scheduler(config.scheduler, ledger),
        places,
        epochs=config.epochs,
        waiting=lambda: searcher.waiting,
        is_ended=lambda trial: ledger.state(TrialConfig.from_dict(trial).number).is_finished(),
    )
    searcher = LedgerSearcher(
        ledger,
        optuna_sampler,
        config.distributions,
        limits=limits,
        may_start=placing.may_start,
        is_stopping=lambda: controls.stopping,
        on_refusal=foreign.report_refusal,
    )
    tuner = tune.Tuner(
        work,
        tune_config=tune.TuneConfig(search_alg=searcher, scheduler=placing, num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(ledger.folder),
            callbacks=[recorder, progress, failures, foreign, MemoryWatch()],
            stop=CombinedStopper(failures, placing),
            failure_config=tune.FailureConfig(max_failures=RESTARTS),
            verbose=0,
        ),
    )
    try:
        with display.live_table(progress.table), progress.stopped_at_end(), memory_monitor_survived():
            tuner.fit()
    except TuneError as error:
        recorder.interrupt()
        raise _cause(error) from None
    except BaseException:
        recorder.interrupt()
        raise
    if ledger.unfinished() or limits.left(len(ledger.trials)):
        recorder.interrupt()
        failures.check()
        if controls.stopping:
            raise SearchStopped(ledger.name)
        raise Interrupted
    if limits.reason:
        tracker.set_tags(parent, {ENDED_EARLY: limits.reason})


def _cause(error: BaseException) -> BaseException:
    """Return the error of a callback or the searcher.

    Tune wraps this error once or twice in another error with a traceback.
    """
    while isinstance(error, TuneError) and error.__context__:
        error = error.__context__
    return error


def _quiet_tune() -> None:
    """Stop Tune from logging the traceback of every failed attempt; `FailureWatch` displays the causes."""
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
