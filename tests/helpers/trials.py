"""Runs a ledger's trials on the tests' cluster, and creates reports like those of real trials."""

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import ray

from raygenre.data.dataset import Dataset
from raygenre.data.splits import indices
from raygenre.search.controls import Controls, SearchStopped
from raygenre.search.space.config import Resources
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.mlflow_ids import note_run_ids
from raygenre.search.study.time_used import TimeUsed
from raygenre.search.trials import tuner, worker
from raygenre.search.trials.failure_watch import SearchFailedError
from raygenre.search.trials.finalists import REPEATS
from raygenre.search.trials.phases import TextDisplay
from raygenre.search.trials.places import Places
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.search.trials.timings import Work
from raygenre.search.trials.trainable import Plan, Tracks
from raygenre.search.trials.trial_limits import TrialLimits
from raygenre.search.trials.trial_result import METRICS, EpochResult, TrialResult
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from raygenre.tracking.tracker import Tracker
from tests.helpers.storages import empty_storage


def search(
    ledger: Ledger,
    tracks: Dataset,
    storage: Path,
    *,
    most: int = 0,
    trainable: Callable[..., None] = worker.run,
    fails_with: str = "",
    controls: Controls | None = None,
    resumed: bool = False,
) -> tuple[Server, str]:
    """Run the ledger's trials; return the server with their runs, and the printed output.

    Args:
        most: maximum number of concurrent trials; 0 to run as many as fit.
        trainable: function that a trial executes.
        fails_with: if not empty, the search must end at its first failure with an error that contains this text.
        controls: controls that may stop the search; stopping it is not an error here.
        resumed: whether an earlier call has already logged to the storage.
    """
    config = ledger.config
    folds = tuple((indices(tracks, fold.train), indices(tracks, fold.validation)) for fold in ledger.split.folds)
    plan = Plan(3, config.epochs, threads=1, device="cpu")
    server = Server(resolve(storage) if resumed else empty_storage(storage))
    tracker = Tracker(server, ledger.folder, ledger.id)
    text = io.StringIO()
    resources, controls = Resources(1, 0, most), controls or Controls()
    timer = SearchTimer(ledger, Work(config.trials, config.epochs, config.top_k, REPEATS, slots=2))
    places = Places(controls, resources, timer=timer, time_used=TimeUsed(ledger))
    display = TextDisplay(text)
    with pytest.raises(SearchFailedError, match=fails_with) if fails_with else suppress(SearchStopped):
        tuner.run_trials(
            ledger,
            plan,
            ray.put(Tracks(tracks.levels, tracks.labels, folds)),
            resources=resources,
            tracker=tracker,
            parent=tracker.start("search", "search"),
            display=display,
            timer=timer,
            places=places,
            limits=TrialLimits(ledger, controls, timer=timer, time_used=places.time_used, display=display),
            max_failures=1 if fails_with else 0,
            trainable=trainable,
        )
    assert tracker.flush(60)
    note_run_ids(ledger, tracker)
    tracker.close()
    return server, text.getvalue()


def epoch_report(epoch: int, loss: float) -> dict[str, Any]:
    """Return a trial's report to Ray Tune after an epoch, with `loss` as the value of every metric."""
    return TrialResult(EpochResult(epoch=epoch, **dict.fromkeys(METRICS, loss))).to_dict()
