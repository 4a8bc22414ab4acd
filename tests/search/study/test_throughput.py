import time
from pathlib import Path

import pytest

from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.throughput import measure_throughput, throughput
from tests.conftest import new_ledger


def one(ledger: Ledger) -> None:
    number = ledger.start_trial(sampler("random", seed=0, trials=9), ledger.config.distributions).number
    for epoch in (1, 2):
        ledger.report(number, epoch=epoch, loss=1.0)
    ledger.finish(number)


def interrupted(ledger: Ledger) -> None:
    with measure_throughput(ledger):
        one(ledger)
        time.sleep(0.1)
        raise KeyboardInterrupt


def test_the_pace_adds_up_over_drivers_and_not_over_pauses(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    assert throughput(ledger).trials_per_hour == 0
    with pytest.raises(KeyboardInterrupt):
        interrupted(ledger)
    first = throughput(ledger)
    assert first.trials == 1
    assert first.seconds >= 0.1
    time.sleep(0.3)
    began = time.monotonic()
    with measure_throughput(ledger):
        one(ledger)
    second = throughput(ledger)
    assert second.trials == 2
    assert first.seconds < second.seconds <= first.seconds + time.monotonic() - began
    assert second.trials_per_hour == pytest.approx(3600 * 2 / second.seconds)


def test_a_search_that_is_finished_already_changes_nothing(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    with measure_throughput(ledger):
        one(ledger)
    before = ledger.study.user_attrs
    with measure_throughput(ledger):
        time.sleep(0.05)
    assert ledger.study.user_attrs == before
