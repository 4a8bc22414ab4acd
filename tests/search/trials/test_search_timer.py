"""The records of a search timer, tested with a simulated clock."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from raygenre.data.dataset import Dataset
from raygenre.search.run import work
from raygenre.search.space.config import Resources
from raygenre.search.space.samplers import sampler
from raygenre.search.study.ledger import Ledger
from raygenre.search.trials.phases import TextDisplay
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.search.trials.timings import Work
from raygenre.search.trials.trial_result import METRICS, EpochResult
from tests.conftest import new_ledger


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def epoch(number: int, *, loss: float = 1.0, seconds: float = 10.0) -> EpochResult:
    values = dict.fromkeys(METRICS, loss) | {"seconds": seconds}
    return EpochResult(epoch=number, **values)


def new_trial(ledger: Ledger, epochs: int) -> int:
    number = ledger.start_trial(sampler("random", seed=0, trials=9), ledger.config.distributions).number
    for at in range(1, epochs + 1):
        ledger.report(number, epoch=at, loss=1 / at)
    return number


@pytest.fixture
def ledger(tracks: Dataset, tmp_path: Path) -> Ledger:
    return new_ledger(tmp_path, tracks, trials=4, epochs=4)


@pytest.fixture
def clock() -> Clock:
    return Clock()


PLAN = Work(trials=4, epochs=4, finalists=1, repeats=3, slots=2)


def test_training_starts_after_the_worker(ledger: Ledger, clock: Clock) -> None:
    timer = SearchTimer(ledger, PLAN, clock=clock)
    timer.trial_started(0)
    clock.now += 15  # 5 s to load the tracks, and an epoch of 10 s
    timer.epoch_ended(0, epoch(1, loss=0.5))
    clock.now += 11
    timer.epoch_ended(0, epoch(2, loss=0.7))
    timer.trial_ended(0)
    [run] = timer.observed().trials
    assert run.marks == ((105.0, 0), (115.0, 1), (126.0, 2))
    assert (run.started, run.ended, run.loss, run.best_epoch) == (100.0, 126.0, 0.5, 1)


def test_epochs_that_a_resumed_trial_reports_again_do_not_count(ledger: Ledger, clock: Clock) -> None:
    number = new_trial(ledger, 2)
    timer = SearchTimer(ledger, PLAN, clock=clock)
    assert timer.observed().trials[number].started is None
    timer.trial_started(number)
    for at in (1, 2):
        clock.now += 1
        timer.epoch_ended(number, epoch(at))
    clock.now += 10
    timer.epoch_ended(number, epoch(3))
    assert timer.observed().trials[number].pace == (10.0, 1)


def test_a_trial_whose_worker_died_waits(ledger: Ledger, clock: Clock) -> None:
    timer = SearchTimer(ledger, PLAN, clock=clock)
    timer.trial_started(0)
    clock.now += 10
    timer.epoch_ended(0, epoch(1))
    timer.trial_interrupted(0)
    assert timer.observed().trials[0].started is None
    clock.now += 10
    timer.trial_started(0)
    timer.epoch_ended(0, epoch(1))
    assert timer.observed().trials[0].epochs == 1


def test_a_worker_that_died_before_its_trial_started(ledger: Ledger, clock: Clock) -> None:
    timer = SearchTimer(ledger, PLAN, clock=clock)
    timer.trial_interrupted(0)
    clock.now += 10
    timer.trial_started(0)
    timer.epoch_ended(0, epoch(1))
    assert timer.observed().trials[0].epochs == 1


def test_a_resumed_search_has_the_epoch_times_of_its_ledger(ledger: Ledger, clock: Clock) -> None:
    for _ in range(2):
        ledger.finish(new_trial(ledger, 4))
    runs = SearchTimer(ledger, PLAN, clock=clock).observed().trials
    assert [run.epochs for run in runs] == [4, 4]
    assert [run.best_epoch for run in runs] == [4, 4]
    assert all(run.ended is not None and run.pace[1] == 3 for run in runs)


def test_only_as_many_repeats_as_fit_are_running(ledger: Ledger, clock: Clock) -> None:
    timer = SearchTimer(ledger, PLAN, clock=clock)
    assert timer.observed().repeats is None
    timer.repeats_planned([(0, 0), (0, 1), (0, 2)])

    def started() -> list[float | None]:
        return [run.started for run in timer.observed().repeats or ()]

    assert started() == [100.0, 100.0, None]
    clock.now += 20
    timer.repeat_progressed((0, 0), 3)
    timer.repeat_ended((0, 0), 3)
    assert started() == [100.0, 100.0, 120.0]


def test_a_pause_does_not_count_as_training_time(ledger: Ledger, clock: Clock) -> None:
    timer = SearchTimer(ledger, PLAN, clock=clock)
    timer.repeats_planned([(0, 0), (0, 1)])
    timer.final_started(0, 9)

    def train(epochs: int) -> None:
        clock.now += 10
        timer.repeat_progressed((0, 0), epochs)
        timer.final_progressed(epochs)

    train(1)
    train(2)
    timer.repeat_paused((0, 0))
    timer.final_paused()
    timer.repeat_ended((0, 1), 3)  # the free place is not allowed to the search
    clock.now += 3600
    for epochs in (3, 4, 5):
        train(epochs)
    seen = timer.observed()
    assert seen.repeats
    assert seen.final
    assert (seen.repeats[0].pace, seen.final.pace) == ((20.0, 2), (20.0, 2))


def test_the_estimate_is_shown_in_every_phase_to_the_end(ledger: Ledger, clock: Clock) -> None:
    for _ in range(4):
        ledger.finish(new_trial(ledger, 4))
    timer, text = SearchTimer(ledger, PLAN, clock=clock), io.StringIO()
    display = TextDisplay(text, clock=clock)
    for name in ("repeats", "final", "evaluation", "registration", "champion"):
        with timer.phase(display, name, "details"):
            clock.now += 1
    starts = text.getvalue().splitlines()[::2]
    assert len(starts) == 5
    assert all(line.endswith(" left") for line in starts), starts


def test_the_final_epoch_has_more_tracks_and_one_network(tracks: Dataset, tmp_path: Path) -> None:
    one = new_ledger(tmp_path, tracks, "one", trials=4, scheduler="asha", epochs=9)
    five = new_ledger(tmp_path, tracks, "five", trials=4, folds=5)
    plan = work(one, Resources(1, 0), slots=2)
    assert plan == replace(plan, trials=4, epochs=9, repeats=2, slots=2, rungs=(3, 9), kept=0.5)
    assert 1 < plan.final_epoch < 1.3
    assert work(one, Resources(1, 0, final_cpus=2), slots=2).final_epoch < plan.final_epoch
    assert work(five, Resources(1, 0), slots=2).final_epoch == pytest.approx(1 / (4 + 0.3), rel=0.05)
