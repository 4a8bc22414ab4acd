"""The whole search, from a ledger to the weights of a candidate: trials, re-runs of the best, final training."""

import math
from dataclasses import dataclass

import ray
from rich.console import Console

from raygenre.data.dataset import Dataset
from raygenre.data.splits import indices
from raygenre.search.space.config import Resources
from raygenre.search.space.objectives import several
from raygenre.search.study.backend import StudyError
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.throughput import timed
from raygenre.search.summary import pareto_front
from raygenre.search.summary.search_run import SearchRunLogger
from raygenre.search.trials.final_training import Final, TrainingFailedError, train_final
from raygenre.search.trials.finalists import RERUNS, Finalist, Repeats
from raygenre.search.trials.trainable import Plan, Tracks
from raygenre.search.trials.tuner import run_trials
from raygenre.system.location import Location
from raygenre.tracking.system_metrics import log_system_metrics
from raygenre.tracking.tracker import Tracker


@dataclass(frozen=True)
class Candidate:
    """What a search found, before the test tracks were touched.

    Attributes:
        finalists: the best settings, best first by their re-runs.
        winner: the best of them whose final training did not diverge.
        final: that training, with its weights and its MLflow run.
        reruns: places of the winner's re-runs, with their predictions for the validation tracks.
    """

    finalists: tuple[Finalist, ...]
    winner: Finalist
    final: Final
    reruns: tuple[Location, ...]


def run_search(
    ledger: Ledger,
    dataset: Dataset,
    *,
    resources: Resources,
    tracker: Tracker,
    record: SearchRunLogger,
    console: Console,
) -> Candidate:
    """Run or go on with a search on the connected Ray cluster; see `connect`.

    Args:
        record: of the search, begun.

    Raises:
        Interrupted: Ctrl-C.
        StudyError: no trial completed, or every finalist failed.
    """
    with log_system_metrics(tracker, record.run):
        return _search(ledger, dataset, resources, tracker, record, console)


def _search(
    ledger: Ledger, dataset: Dataset, resources: Resources, tracker: Tracker, record: SearchRunLogger, console: Console
) -> Candidate:
    config, split = ledger.config, ledger.split
    folds = tuple((indices(dataset, fold.train), indices(dataset, fold.validation)) for fold in split.folds)
    tracks = ray.put(Tracks(dataset.levels, dataset.labels, folds))
    plan = Plan(
        genres=len(dataset.genres),
        epochs=config.epochs,
        threads=max(1, int(resources.cpus)),
        device="cuda" if resources.gpus else "cpu",
        objectives=tuple(config.objectives),
    )
    parent = record.run
    with timed(ledger):
        run_trials(ledger, plan, tracks, resources=resources, tracker=tracker, parent=parent, console=console)
    repeats = Repeats(ledger, plan, tracks, resources=resources, tracker=tracker, parent=parent)
    console.print(f"Training the best {len(ledger.top(config.top_k))} settings {RERUNS} times each on new seeds")
    repeats.start()
    record.trials()  # drawing the figures takes seconds, in which the repeats train already
    if several(config.objectives):
        pareto_front.record(ledger, tracker, parent)
        console.print(pareto_front.table(ledger))
    finalists = repeats.finish(lambda finalist: console.print(_line(finalist), highlight=False))
    [best] = ledger.top(1)
    [looked_best] = [finalist for finalist in finalists if finalist.number == best.number]
    console.print(
        f"The search's best trial, {looked_best.number}, had {looked_best.search_loss:.3f} there and has "
        f"{looked_best.loss:.3f} ± {looked_best.spread:.3f} on new seeds: {looked_best.optimism:+.3f}",
        highlight=False,
    )
    record.finalists(finalists)
    for finalist in finalists:
        if not math.isfinite(finalist.loss):
            continue
        console.print(f"Training setting {finalist.number} on all {len(split.train)} training tracks")
        try:
            final = train_final(finalist, ledger, plan, tracks, resources=resources, tracker=tracker, parent=parent)
            return Candidate(tuple(finalists), finalist, final, repeats.places(finalist.number))
        except TrainingFailedError as error:
            console.print(f"  {error}", highlight=False)
    raise StudyError(f"every one of the best settings of the study {ledger.name} failed when trained again")


def _line(finalist: Finalist) -> str:
    losses = ", ".join(f"{loss:.3f}" for loss in finalist.losses)
    return (
        f"  setting {finalist.number}: validation loss {losses} (in the search {finalist.search_loss:.3f}), "
        f"accuracy {sum(finalist.accuracies) / len(finalist.accuracies):.1%}"
    )
