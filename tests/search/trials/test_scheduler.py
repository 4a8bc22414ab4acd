"""The schedulers, with simulated losses; test_tuner.py stops real trials on a cluster."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raygenre.data.dataset import Dataset
from raygenre.search.space.choices import SchedulerName
from raygenre.search.space.samplers import sampler
from raygenre.search.study.ledger import Ledger
from raygenre.search.trials.scheduler import STOPPED, LedgerScheduler, rungs, scheduler
from raygenre.search.trials.trial_config import TrialConfig
from raygenre.search.trials.trial_result import TrialResult
from tests.conftest import new_ledger, small_config
from tests.helpers.trials import epoch_report

EPOCHS = 9
LOSSES = (1.0, 0.8, 1.2, 0.6, 1.4, 0.7, 1.1)  # first loss of each trial; the loss falls a little with each epoch


def tune_trial(number: int) -> Any:
    """Return a Ray Tune trial with only the attributes that a scheduler needs."""
    config = TrialConfig(number, params={}, fixed={}, seed=0, location="")
    return SimpleNamespace(trial_id=f"tune-{number}", config=config.to_dict())


def judge(rule: TrialScheduler, number: int, epoch: int) -> str:
    result = epoch_report(epoch, LOSSES[number] - 0.01 * epoch)
    return rule.on_trial_result(None, tune_trial(number), result)  # type: ignore[arg-type]


def train(ledger: Ledger, rule: TrialScheduler, number: int, epochs: range = range(1, EPOCHS + 1)) -> int:
    """Report epochs to the scheduler and then to the ledger, as Tune does; return the last trained epoch."""
    for epoch in epochs:
        decision = judge(rule, number, epoch)
        ledger.report(number, epoch=epoch, loss=LOSSES[number] - 0.01 * epoch)
        if decision == TrialScheduler.STOP:
            return epoch
    return epochs[-1]


def started(tracks: Dataset, folder: Path, name: SchedulerName, rule_trials: int = len(LOSSES)) -> Ledger:
    ledger = new_ledger(folder, tracks, trials=len(LOSSES), epochs=EPOCHS, scheduler=name)
    draw = sampler("random", seed=0, trials=9)
    for _ in range(rule_trials):
        ledger.start_trial(draw, ledger.config.distributions)
    return ledger


def state(rule: TrialScheduler) -> object:
    """Return the state on which a scheduler bases its decisions."""
    assert isinstance(rule, LedgerScheduler)
    if hasattr(rule.rule, "_brackets"):
        return [bracket._rungs for bracket in rule.rule._brackets]
    return dict(rule.rule._results)


@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_rebuilt_scheduler_has_the_same_state(tracks: Dataset, tmp_path: Path, name: SchedulerName) -> None:
    ledger = started(tracks, tmp_path, name)
    rule = scheduler(name, ledger)
    last = [train(ledger, rule, number) for number in range(5)]
    train(ledger, rule, 5, range(1, 3))  # still running
    ledger.finish(0)
    assert EPOCHS in last
    assert min(last) < EPOCHS  # at least one trial was stopped
    assert state(scheduler(name, ledger)) == state(rule)
    assert state(rule) != state(scheduler(name, started(tracks, tmp_path / "other", name)))


@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_resumed_search_stops_the_same_trials(tracks: Dataset, tmp_path: Path, name: SchedulerName) -> None:
    whole = started(tracks, tmp_path / "whole", name)
    rule = scheduler(name, whole)
    expected = [train(whole, rule, number) for number in range(len(LOSSES))]

    parts = started(tracks, tmp_path / "parts", name)
    rule = scheduler(name, parts)
    stops = [train(parts, rule, number) for number in range(3)]
    train(parts, rule, 3, range(1, 5))
    rule = scheduler(name, parts)  # a new driver; the unfinished trial reports its epochs again from the first
    stops += [train(parts, rule, number) for number in range(3, len(LOSSES))]
    assert stops == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize("name", ["asha", "median"])
def test_an_epoch_that_passed_before_passes_again(tracks: Dataset, tmp_path: Path, name: SchedulerName) -> None:
    ledger = started(tracks, tmp_path, name)
    rule = scheduler(name, ledger)
    assert train(ledger, rule, 2, range(1, 5)) == 4  # there is no other trial to compare it with
    for number in (1, 3, 5):
        train(ledger, rule, number)
    again = scheduler(name, ledger)
    assert [judge(again, 2, epoch) for epoch in range(1, 5)] == [TrialScheduler.CONTINUE] * 4
    train(ledger, again, 2, range(5, EPOCHS + 1))
    assert ledger.trials[2].user_attrs[STOPPED] > 4


@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_stop_survives_a_driver_that_dies_right_then(tracks: Dataset, tmp_path: Path, name: SchedulerName) -> None:
    """The driver dies after the decision but before PRUNED is recorded in the ledger."""
    ledger = started(tracks, tmp_path, name)
    rule = scheduler(name, ledger)
    for number in (1, 3, 5):
        train(ledger, rule, number)
    stopped = train(ledger, rule, 4)
    assert stopped < EPOCHS
    again = scheduler(name, ledger)
    decisions = [judge(again, 4, epoch) for epoch in range(1, stopped + 1)]
    assert decisions == [*[TrialScheduler.CONTINUE] * (stopped - 1), TrialScheduler.STOP]


def test_failures_and_restarts_do_not_change_the_median(tracks: Dataset, tmp_path: Path) -> None:
    ledger = started(tracks, tmp_path, "median")
    rule = scheduler("median", ledger)
    train(ledger, rule, 0, range(1, 4))
    failure = TrialResult(failure="the training loss is nan").to_dict()
    assert rule.on_trial_result(None, tune_trial(0), failure) == TrialScheduler.CONTINUE  # type: ignore[arg-type]
    rule.on_trial_complete(None, tune_trial(0), failure)  # type: ignore[arg-type]
    for number in (1, 3, 5):
        train(ledger, rule, number, range(1, 6))
        train(ledger, rule, number)  # its worker died, so it reports again from the first epoch
    assert train(ledger, rule, 4) == 3
    assert len(state(rule)) == 5  # type: ignore[arg-type]


def test_without_a_scheduler_nothing_is_stopped(tracks: Dataset, tmp_path: Path) -> None:
    assert type(scheduler("none", started(tracks, tmp_path, "none", 0))) is FIFOScheduler


@pytest.mark.parametrize("epochs", [1, 2, 3, 9, 12, 40, 150])
def test_rungs_are_those_of_the_scheduler(tracks: Dataset, tmp_path: Path, epochs: int) -> None:
    ledger = new_ledger(tmp_path, tracks, epochs=epochs, scheduler="asha")
    rule = scheduler("asha", ledger)
    assert isinstance(rule, LedgerScheduler)
    [bracket] = rule.rule._brackets
    assert rungs(ledger.config) == sorted(milestone for milestone, _ in bracket._rungs if milestone <= epochs)
    assert rungs(small_config(tracks, epochs=epochs, scheduler="none")) == []


@pytest.mark.parametrize("epochs", [12, 20, 27, 40, 100, 150])
def test_no_rung_is_close_to_the_end(tracks: Dataset, epochs: int) -> None:
    first, last = rungs(small_config(tracks, epochs=epochs, scheduler="asha"))
    assert epochs / 9 < first <= epochs / 4
    assert last == 3 * first <= 0.75 * epochs
