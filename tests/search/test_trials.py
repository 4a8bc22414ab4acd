"""The search phase on the real cluster: stopped and diverged trials, and how many run at once."""

import io
import itertools
from pathlib import Path

import ray
from optuna.trial import TrialState
from rich.console import Console

from raygenre.dataset import Dataset
from raygenre.search import trials
from raygenre.search.config import Resources
from raygenre.search.ledger import Ledger
from raygenre.search.run_ids import note_run_ids
from raygenre.search.scheduler import STOPPED
from raygenre.search.trial import Plan, Tracks
from raygenre.splits import indices
from raygenre.storage import resolve
from raygenre.tracking import Tracker
from raygenre.tracking_server import Server
from tests.conftest import new_ledger


def search(ledger: Ledger, tracks: Dataset, storage: Path, *, most: int = 0) -> tuple[Server, str]:
    """Run the ledger's trials; where their runs are, and what was printed."""
    config = ledger.config
    folds = tuple((indices(tracks, fold.train), indices(tracks, fold.validation)) for fold in ledger.split.folds)
    plan = Plan(3, config.epochs, threads=1, device="cpu")
    tracker = Tracker(resolve(storage), ledger.folder, ledger.id)
    text = io.StringIO()
    trials.run_trials(
        ledger,
        plan,
        ray.put(Tracks(tracks.levels, tracks.labels, folds)),
        resources=Resources(1, 0, most),
        tracker=tracker,
        parent=tracker.start("search", "search"),
        console=Console(file=text, width=250),
    )
    assert tracker.drain(60)
    note_run_ids(ledger, tracker)
    tracker.close()
    return Server(resolve(storage)), text.getvalue()


def test_what_asha_stops_is_pruned_everywhere(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path / "studies", tracks, trials=8, epochs=9, scheduler="asha", sampler="random")
    server, printed = search(ledger, tracks, tmp_path)
    states = {trial.number: trial.state for trial in ledger.trials}
    assert set(states.values()) == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in ledger.trials:
        epochs = len(trial.intermediate_values)
        run = server.client.get_run(ledger.trial_run(trial.number) or "")
        assert run.info.status == "FINISHED"
        history = server.client.get_metric_history(run.info.run_id, "validation_loss")
        assert sorted(metric.step for metric in history) == list(range(1, epochs + 1))
        if trial.state is TrialState.PRUNED:
            assert epochs == 3  # ASHA's first rung
            assert trial.value == trial.intermediate_values[3]  # what Optuna shows of a stopped trial
            assert run.data.tags["state"] == "pruned"
        else:
            assert epochs == 9
            assert trial.value == min(trial.intermediate_values.values())
            assert run.data.tags["state"] == "complete"
    kept = {trial.number for trial in ledger.trials if ledger.state_place(trial.number).folder.exists()}
    assert kept == {trial.number for trial in ledger.top(ledger.config.top_k)}
    assert printed.count("trial ") == 8
    assert "pruned" in printed


def test_what_the_median_rule_stops_is_pruned(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    """Learning rates far too small come last, when there is a median to be worse than."""
    space = {"learning_rate": {"low": 1e-9, "high": 2e-3, "log": True}}
    starts = [{"learning_rate": rate} for rate in (2e-3, 1e-3, 1.5e-3, 1e-8, 1e-9)]
    ledger = new_ledger(
        tmp_path / "studies",
        tracks,
        trials=5,
        epochs=9,
        scheduler="median",
        sampler="random",
        space=space,
        starts=starts,
    )
    search(ledger, tracks, tmp_path, most=1)
    states = [trial.state for trial in ledger.trials]
    assert states[:3] == [TrialState.COMPLETE] * 3
    assert states[3:] == [TrialState.PRUNED] * 2
    for trial in ledger.trials[3:]:
        assert trial.user_attrs[STOPPED] == len(trial.intermediate_values) >= 3


def test_a_diverged_trial_fails_with_its_reason_and_the_search_goes_on(
    tracks: Dataset, ray_cluster: None, tmp_path: Path
) -> None:
    too_fast = {"learning_rate": {"low": 1e25, "high": 1e30, "log": True}}
    ledger = new_ledger(tmp_path / "studies", tracks, trials=2, epochs=3, top_k=1, space=too_fast)
    server, printed = search(ledger, tracks, tmp_path)
    assert [trial.state for trial in ledger.trials] == [TrialState.FAIL] * 2
    for trial in ledger.trials:
        run = server.client.get_run(ledger.trial_run(trial.number) or "")
        assert run.info.status == "FAILED"
        assert "loss is" in run.data.tags["failure"]
        assert "in epoch" in (ledger.failure(trial.number) or "")
    assert "failed" in printed
    assert "loss is" in printed


def test_no_more_trials_run_at_once_than_allowed(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path / "studies", tracks, trials=3, epochs=2)
    search(ledger, tracks, tmp_path, most=1)
    times = [(trial.datetime_start, trial.datetime_complete) for trial in ledger.trials]
    for (_, before), (after, _) in itertools.pairwise(times):
        assert before is not None
        assert after is not None
        assert before <= after
