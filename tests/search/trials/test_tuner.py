"""Trials on a real cluster: stopped, failed and concurrent."""

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from raygenre.data.dataset import Dataset
from raygenre.search.study.trial_attributes import ENDED_ELSEWHERE
from raygenre.search.trials import worker
from raygenre.search.trials.scheduler import STOPPED
from tests.conftest import new_ledger
from tests.helpers.trials import search


def test_a_trial_that_asha_stops_is_pruned_everywhere(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    # The last learning rates are far too small.
    starts = [{"learning_rate": rate} for rate in (2e-3, 1e-3, 1.5e-3, 1e-8, 1e-9, 1e-9)]
    space = {"learning_rate": {"low": 1e-9, "high": 2e-3, "log": True}}
    ledger = new_ledger(
        tmp_path / "studies", tracks, trials=6, epochs=5, scheduler="asha", sampler="random", space=space, starts=starts
    )
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
            assert trial.value == trial.intermediate_values[3]  # the value that Optuna displays for a stopped trial
            assert run.data.tags["state"] == "pruned"
        else:
            assert epochs == 5
            assert trial.value == min(trial.intermediate_values.values())
            assert run.data.tags["state"] == "complete"
    kept = {trial.number for trial in ledger.trials if ledger.checkpoint_location(trial.number).folder.exists()}
    assert kept == {trial.number for trial in ledger.top(ledger.config.top_k)}
    assert printed.count("\ntrial ") == 6
    assert all(len(line) <= 100 for line in printed.splitlines())
    assert "pruned" in printed


@pytest.mark.slow
def test_the_median_rule_prunes_and_one_trial_runs_at_a_time(
    tracks: Dataset, ray_cluster: None, tmp_path: Path
) -> None:
    """The last learning rates are far too small; when trials with these rates start, there is already a median.

    All trials run in the same process, because starting a process takes longer than training on pretrained features.
    """
    processes = tmp_path / "processes"

    def trainable(config: dict[str, Any], *, plan: Any, shared: Any) -> None:
        with processes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        worker.run(config, plan=plan, shared=shared)

    space = {"learning_rate": {"low": 1e-9, "high": 2e-3, "log": True}}
    starts = [{"learning_rate": rate} for rate in (2e-3, 1e-3, 1.5e-3, 1e-8, 1e-9)]
    ledger = new_ledger(
        tmp_path / "studies",
        tracks,
        trials=5,
        epochs=5,
        scheduler="median",
        sampler="random",
        space=space,
        starts=starts,
    )
    search(ledger, tracks, tmp_path, most=1, trainable=trainable)
    started = processes.read_text().split()
    assert len(started) == 5
    assert len(set(started)) == 1
    states = [trial.state for trial in ledger.trials]
    assert states[:3] == [TrialState.COMPLETE] * 3
    assert states[3:] == [TrialState.PRUNED] * 2
    for trial in ledger.trials[3:]:
        assert trial.user_attrs[STOPPED] == len(trial.intermediate_values) >= 3
    times = [(trial.datetime_start, trial.datetime_complete) for trial in ledger.trials]
    for (_, before), (after, _) in itertools.pairwise(times):
        assert before is not None
        assert after is not None
        assert before <= after


def test_trials_that_diverge_or_run_out_of_memory_fail_once(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    """Two learning rates are far too large, and a dense layer of 10^11 units needs 51 TB."""
    space = {"dense": [16, 100_000_000_000], "learning_rate": {"low": 1e-3, "high": 1e30, "log": True}}
    starts = [
        {"dense": 16, "learning_rate": 1e25},
        {"dense": 100_000_000_000, "learning_rate": 1e-3},
        {"dense": 16, "learning_rate": 1e30},
        {"dense": 16, "learning_rate": 1e-3},
    ]
    ledger = new_ledger(tmp_path / "studies", tracks, trials=4, epochs=1, sampler="random", space=space, starts=starts)
    server, printed = search(ledger, tracks, tmp_path, most=1)
    assert [trial.state for trial in ledger.trials] == [TrialState.FAIL] * 3 + [TrialState.COMPLETE]
    reasons = ("loss is", "out of memory: ", "loss is")
    for number, reason in enumerate(reasons):
        run = server.client.get_run(ledger.trial_run(number) or "")
        assert run.info.status == "FAILED"
        assert reason in run.data.tags["failure"]
        assert reason in (ledger.failure(number) or "")
        assert reason in printed
    assert "in epoch" in (ledger.failure(0) or "")
    assert not list((ledger.folder / "tune").glob("*/error.txt"))  # Ray retried none of them


def test_a_search_that_cannot_succeed_ends_with_its_cause(
    tracks: Dataset, ray_cluster: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The import fails outside the code that reports exceptions, so Ray itself handles the failure."""

    def trainable(config: dict[str, Any], *, plan: object, shared: object) -> None:
        raise ModuleNotFoundError("No module named 'x'")

    cause = "ModuleNotFoundError: No module named 'x'"
    ledger = new_ledger(tmp_path / "studies", tracks, trials=9)
    server, printed = search(ledger, tracks, tmp_path, most=1, trainable=trainable, fails_with=f": {cause}")
    [failed, *left] = ledger.trials
    assert ledger.failure(failed.number) == cause
    assert [trial.state for trial in left] in ([], [TrialState.RUNNING])  # resumable
    run = server.client.get_run(ledger.trial_run(failed.number) or "")
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", cause)
    assert "in trainable" in Path(server.client.download_artifacts(run.info.run_id, "error.txt")).read_text()
    assert printed.count(cause) == 1
    output = capfd.readouterr()
    assert "Traceback" not in output.out + output.err


def test_a_search_continues_while_others_change_its_study(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    """Trial 0 starts a trial as another program would, and trial 2 ends itself as the dashboard would."""
    journal, name = tmp_path / "studies" / "study", "study"

    def trainable(config: dict[str, Any], *, plan: object, shared: object) -> None:
        import optuna
        from ray import tune

        from raygenre.search.study import backend
        from tests.helpers.trials import epoch_report

        study = optuna.load_study(study_name=name, storage=backend.storage(journal, None))
        tune.report(epoch_report(1, 0.5))
        if config["number"] == 0:
            study.ask()
        if config["number"] == 2:
            study.tell(2, state=TrialState.FAIL)
        tune.report(epoch_report(2, 0.4))
        if config["number"] == 2:
            tune.report(epoch_report(3, 0.3))
            raise AssertionError("the trial was not stopped")

    ledger = new_ledger(tmp_path / "studies", tracks, trials=3)
    server, printed = search(ledger, tracks, tmp_path, most=1, trainable=trainable)
    states = {trial.number: trial.state for trial in ledger.trials}
    assert states == {0: TrialState.COMPLETE, 2: TrialState.FAIL, 3: TrialState.COMPLETE}
    assert ledger.state(1) is TrialState.RUNNING
    assert ledger.trial(2).intermediate_values == {1: 0.5}
    run = server.client.get_run(ledger.trial_run(2) or "")
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", ENDED_ELSEWHERE)
    assert [metric.step for metric in server.client.get_metric_history(run.info.run_id, "validation_loss")] == [1]
    assert printed.count("trial 1 of another program is running") == 1
    assert printed.count("another program ended this trial") == 1
