"""When a search stops starting trials, tested with real ledgers and a simulated clock."""

import io
from pathlib import Path

import pytest

from raygenre.data.dataset import Dataset
from raygenre.search.controls import Controls
from raygenre.search.space.samplers import sampler
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.study_attributes import set_limits
from raygenre.search.study.time_used import TimeUsed
from raygenre.search.trials.phases import TextDisplay
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.search.trials.timings import Work
from raygenre.search.trials.trial_limits import TrialLimits, trials_since_better
from raygenre.search.trials.trial_result import METRICS, EpochResult
from tests.conftest import new_ledger

EPOCHS = 2


class Driver:
    """The parts of a search driver that limit its trials, with a simulated clock in seconds."""

    def __init__(self, ledger: Ledger) -> None:
        self.now = 0.0
        self.ledger = ledger
        self.controls = Controls()
        self.text = io.StringIO()
        work = Work(ledger.config.trials, EPOCHS, finalists=1, repeats=2, slots=1)
        self.timer = SearchTimer(ledger, work, clock=lambda: self.now)
        self.time_used = TimeUsed(ledger, clock=lambda: self.now)
        self.limits = TrialLimits(
            ledger,
            self.controls,
            timer=self.timer,
            time_used=self.time_used,
            display=TextDisplay(self.text),
            clock=lambda: self.now,
        )

    def allow_another(self) -> bool:
        trials = self.ledger.trials
        return self.limits.allow_another(len(trials), sum(trial.state.is_finished() for trial in trials))

    def train(self, loss: float, *, epochs: int = EPOCHS, failure: str = "", seconds: float = 10) -> None:
        """Simulate a trial that has the same loss in each epoch."""
        draw = sampler("random", seed=0, trials=9)
        number = self.ledger.start_trial(draw, self.ledger.config.distributions).number
        self.timer.trial_started(number)
        for epoch in range(1, epochs + 1):
            self.now += seconds
            values = dict.fromkeys(METRICS, loss) | {"seconds": seconds}
            self.timer.epoch_ended(number, EpochResult(epoch=epoch, **values))
            self.ledger.report(number, epoch=epoch, loss=loss)
        self.ledger.finish(number, failure=failure or None)
        self.timer.trial_ended(number)


def test_patience_counts_trials_since_the_best(tracks: Dataset, tmp_path: Path) -> None:
    driver = Driver(new_ledger(tmp_path, tracks, trials=9, patience=2))
    driver.train(0.1, epochs=1)  # stopped early, so there is no best trial yet
    driver.train(0.5)
    driver.train(0.6)
    driver.train(0.4)
    assert driver.allow_another()
    driver.train(0.4, failure="diverged")  # failed trials do not count
    driver.train(0.7, epochs=1)
    assert trials_since_better(driver.ledger) == 1
    assert driver.allow_another()
    driver.train(0.4)
    assert not driver.allow_another()
    assert driver.text.getvalue().count("no more after 7 of 9: none of the last 2 trials was better") == 1
    assert (driver.timer.work.trials, driver.limits.left(7)) == (7, 0)


def test_a_time_budget_leaves_time_for_the_repeats(tracks: Dataset, tmp_path: Path) -> None:
    """A trial takes 20 s; two repeats, the final training and the closing phases take about 62 s."""
    driver = Driver(new_ledger(tmp_path, tracks, trials=9, time_budget=150))
    assert driver.allow_another()  # nothing has been timed yet
    trained = 0
    while driver.allow_another():
        driver.train(0.5)
        trained += 1
    assert 3 <= trained <= 4
    left = driver.timer.seconds_left()
    assert left is not None
    assert driver.now + left <= 150
    assert "of the time budget of 2 min remain" in driver.text.getvalue()


def test_the_time_left_excludes_trials_beyond_the_budget(tracks: Dataset, tmp_path: Path) -> None:
    """Without the budget, the estimate for 500 trials of 20 s is almost three hours."""
    driver = Driver(new_ledger(tmp_path, tracks, trials=500, time_budget=150))
    driver.train(0.5)
    assert driver.timer.seconds_left() == 130
    driver.now = 145  # the repeats and the final training exceed the budget
    left = driver.timer.seconds_left()
    assert left is not None
    assert 30 < left < 80


def test_a_later_driver_counts_the_time_of_the_earlier(tracks: Dataset, tmp_path: Path) -> None:
    first = Driver(new_ledger(tmp_path, tracks, trials=9, time_budget=350))
    first.train(0.5, seconds=100)
    first.time_used.save(now=True)
    second = Driver(first.ledger)
    second.now += 200  # spent on data and plotting; 400 s in total
    assert second.time_used.seconds == pytest.approx(400)
    assert not second.allow_another()
    assert not Driver(first.ledger).allow_another()  # the decision is kept
    set_limits(first.ledger, time_budget=5000)
    assert Driver(first.ledger).allow_another()


def test_a_used_up_budget_does_not_prevent_the_first_trial(tracks: Dataset, tmp_path: Path) -> None:
    driver = Driver(new_ledger(tmp_path, tracks, time_budget=1))
    driver.now += 5
    assert driver.allow_another()
    driver.train(0.5)
    assert not driver.allow_another()


def test_more_trials_and_time_can_be_given_while_it_runs(tracks: Dataset, tmp_path: Path) -> None:
    driver = Driver(new_ledger(tmp_path, tracks, trials=1, time_budget=1))
    driver.train(0.5)
    assert not driver.allow_another()
    driver.controls.trials = 3
    assert not driver.allow_another()
    driver.controls.time_budget = 10_000.0
    assert driver.allow_another()
    assert (driver.ledger.config.trials, driver.ledger.config.time_budget) == (3, 10_000)
    reopened = driver.ledger.folder / "run.yaml"
    assert "trials: 3" in reopened.read_text()
