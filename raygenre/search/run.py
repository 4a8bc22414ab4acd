"""A whole search: trials, repeats of the best settings on new seeds, and the final training."""

import math
from dataclasses import dataclass

import ray

from raygenre.data.dataset import Dataset
from raygenre.data.splits import indices
from raygenre.search.controls import Controls
from raygenre.search.space.choices import MAX_FAILURES
from raygenre.search.space.config import Resources
from raygenre.search.space.objectives import is_multi_objective
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.throughput import measure_throughput
from raygenre.search.study.time_used import measure_time
from raygenre.search.study.trial_attributes import FAILURE
from raygenre.search.summary import pareto_front
from raygenre.search.summary.search_run import SearchRunLogger
from raygenre.search.trials.cluster import slots
from raygenre.search.trials.failure_reason import summary
from raygenre.search.trials.failure_watch import SearchFailedError, check_completed
from raygenre.search.trials.final_training import (
    FinalTraining,
    TrainingFailedError,
    final_cpus,
    final_epochs,
    train_final,
)
from raygenre.search.trials.finalists import REPEATS, Finalist, Repeat
from raygenre.search.trials.phases import Display, Phase, joined, left_text
from raygenre.search.trials.places import Places
from raygenre.search.trials.repeats import Repeats
from raygenre.search.trials.scheduler import kept, rungs
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.search.trials.timings import Work
from raygenre.search.trials.trainable import Plan, Tracks
from raygenre.search.trials.trial_limits import TrialLimits
from raygenre.search.trials.tuner import run_trials
from raygenre.system.location import Location
from raygenre.system.numbers import loss_text
from raygenre.tracking.system_metrics import log_system_metrics
from raygenre.tracking.tracker import Tracker
from raygenre.training.member import Inputs

_VALIDATION = 0.3  # time to validate a track, relative to the time to train on it
_THREAD = 0.3  # speed that each additional thread adds, relative to the first thread


@dataclass(frozen=True)
class Candidate:
    """The result of a search, not yet evaluated on the test tracks.

    Attributes:
        finalists: the best settings, sorted by the results of their repeats, best first.
        winner: the best finalist whose final training succeeded.
        final: the final training of the winner, with its weights and MLflow run.
        repeats: locations of the winner's repeats, where their predictions for the validation tracks are stored.
    """

    finalists: tuple[Finalist, ...]
    winner: Finalist
    final: FinalTraining
    repeats: tuple[Location, ...]


def run_search(
    ledger: Ledger,
    dataset: Dataset,
    inputs: Inputs,
    *,
    resources: Resources,
    tracker: Tracker,
    record: SearchRunLogger,
    display: Display,
    timer: SearchTimer,
    max_failures: int = MAX_FAILURES,
    controls: Controls | None = None,
) -> Candidate:
    """Run or resume a search on the connected Ray cluster; see `connect`.

    Args:
        inputs: the networks' input for each track of the data set.
        record: the logger of the search's MLflow run.
        timer: the search's timer; see `search_timer`.
        max_failures: number of trials in a row that may fail for the same reason; 0 for any number.
        controls: the limits that apply while the search runs, and its reports of the places that it could use.

    Raises:
        Interrupted: the user pressed Ctrl-C.
        SearchStopped: a stop was requested through `controls`; everything is saved.
        SearchFailedError: too many trials in a row failed for the same reason, no trial completed, or every finalist
            failed.
    """
    with log_system_metrics(tracker, record.run), measure_time(ledger) as time_used:
        controls = controls or Controls()
        controls.seconds_left = timer.seconds_left
        places = Places(controls, resources, timer=timer, time_used=time_used)
        try:
            return _search(ledger, dataset, inputs, resources, tracker, record, display, timer, max_failures, places)
        except SearchFailedError as error:
            tracker.set_tags(record.run, {FAILURE: error})
            raise


def search_timer(ledger: Ledger, resources: Resources) -> SearchTimer:
    """Return a timer for a search on the connected Ray cluster."""
    return SearchTimer(ledger, work(ledger, resources, slots=slots(resources)))


def work(ledger: Ledger, resources: Resources, *, slots: int) -> Work:
    """Return the work that a search has to do, given that `slots` training runs fit on the cluster at the same time."""
    config, split = ledger.config, ledger.split
    # An epoch of a trial trains and validates one network per fold; the final training trains a single network.
    trial = sum(len(fold.train) + _VALIDATION * len(fold.validation) for fold in split.folds)
    threads = max(1, int(final_cpus(resources))) / max(1, int(resources.cpus))
    return Work(
        trials=config.trials,
        epochs=config.epochs,
        finalists=config.top_k,
        repeats=REPEATS,
        slots=slots,
        rungs=tuple(rungs(config)),
        kept=kept(config),
        final_epoch=len(split.train) / trial / (1 + _THREAD * (threads - 1)),
        uses_last_epoch=config.entries.get("schedule", "constant") != "constant",
    )


def _search(
    ledger: Ledger,
    dataset: Dataset,
    inputs: Inputs,
    resources: Resources,
    tracker: Tracker,
    record: SearchRunLogger,
    display: Display,
    timer: SearchTimer,
    max_failures: int,
    places: Places,
) -> Candidate:
    config, split = ledger.config, ledger.split
    folds = tuple((indices(dataset, fold.train), indices(dataset, fold.validation)) for fold in split.folds)
    tracks = ray.put(Tracks(inputs, dataset.labels, folds))
    plan = Plan(
        genres=len(dataset.genres),
        epochs=config.epochs,
        threads=max(1, int(resources.cpus)),
        device="cuda" if resources.gpus else "cpu",
        objectives=tuple(config.objectives),
    )
    parent = record.run
    limits = TrialLimits(ledger, places.controls, timer=timer, time_used=places.time_used, display=display)
    with (
        timer.phase(display, "trials", f"{config.trials} trials of up to {config.epochs} epochs", bar=False),
        measure_throughput(ledger),
    ):
        run_trials(
            ledger,
            plan,
            tracks,
            resources=resources,
            tracker=tracker,
            parent=parent,
            display=display,
            timer=timer,
            places=places,
            limits=limits,
            max_failures=max_failures,
        )
    check_completed(ledger)
    repeats = Repeats(
        ledger, plan, tracks, resources=resources, tracker=tracker, parent=parent, timer=timer, places=places
    )
    settings = len(ledger.top(config.top_k))
    with timer.phase(
        display,
        "repeats",
        f"the best {settings} {'setting' if settings == 1 else 'settings'}, {REPEATS} new seeds each",
    ) as phase:
        repeats.start()
        record.trials()  # takes several seconds, because it draws figures; the repeats run meanwhile
        if is_multi_objective(config.objectives):
            pareto_front.record(ledger, tracker, parent)
            display.table(pareto_front.table(ledger))
        finalists = _finish(repeats, phase, display, timer)
    for finalist in finalists:
        display.event(f"trial {finalist.number}", "mean", _losses(finalist))
    record.finalists(finalists)
    failures = repeats.failures
    for finalist in finalists:
        if not math.isfinite(finalist.loss):
            continue
        details = f"trial {finalist.number}, {final_epochs(finalist)} epochs, all {len(split.train)} training tracks"
        try:
            with timer.phase(display, "final", details) as phase:
                final = train_final(
                    finalist,
                    ledger,
                    plan,
                    tracks,
                    resources=resources,
                    tracker=tracker,
                    parent=parent,
                    phase=phase,
                    timer=timer,
                    places=places,
                )
            places.report("closing")
            return Candidate(tuple(finalists), finalist, final, repeats.locations(finalist.number))
        except TrainingFailedError as error:
            display.event("final", "failed", str(error))
            failures.append(str(error))
    raise SearchFailedError(f"every finalist of the study {ledger.name} failed: {summary(failures)}")


def _finish(repeats: Repeats, phase: Phase, display: Display, timer: SearchTimer) -> list[Finalist]:
    """Wait for the repeats, and display their progress and the result of each repeat that finishes."""

    def show(repeat: Repeat) -> None:
        outcome = repeat.failure or f"loss {loss_text(repeat.loss)}  accuracy {repeat.accuracy:.1%}"
        # A live display shows the time left next to the progress bar.
        left = "" if display.is_live else left_text(timer.seconds_left)
        details = joined(f"seed {repeat.index + 1} of {REPEATS}  {outcome}", left)
        display.event(f"trial {repeat.number}", "repeat", details)

    return repeats.finish(show, lambda done, total: phase.update(done, total, "epochs"))


def _losses(finalist: Finalist) -> str:
    if not math.isfinite(finalist.loss):
        return "a repeat failed"
    return (
        f"loss {loss_text(finalist.loss)} ± {loss_text(finalist.spread)} on new seeds, "
        f"{loss_text(finalist.search_loss)} in the search ({loss_text(finalist.optimism, sign=True)})"
    )
