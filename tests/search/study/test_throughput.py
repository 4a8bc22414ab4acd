import time
from pathlib import Path

import pytest

from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.throughput import measure_throughput, throughput
from tests.conftest import new_ledger


def run_trial(ledger: Ledger) -> None:
    number = ledger.start_trial(sampler("random", seed=0, trials=9), ledger.config.distributions).number
    for epoch in (1, 2):
        ledger.report(number, epoch=epoch, loss=1.0)
    ledger.finish(number)


def interrupt(ledger: Ledger) -> None:
    with measure_throughput(ledger):
        run_trial(ledger)
        time.sleep(0.1)
        raise KeyboardInterrupt


def test_throughput_adds_drivers_but_not_pauses(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    assert throughput(ledger).trials_per_hour == 0
    with pytest.raises(KeyboardInterrupt):
        interrupt(ledger)
    first = throughput(ledger)
    assert first.trials == 1
    assert first.seconds >= 0.1
    time.sleep(0.3)
    started = time.monotonic()
    with measure_throughput(ledger):
        run_trial(ledger)
    second = throughput(ledger)
    assert second.trials == 2
    assert first.seconds < second.seconds <= first.seconds + time.monotonic() - started
    assert second.trials_per_hour == pytest.approx(3600 * 2 / second.seconds)


def test_a_finished_search_keeps_its_throughput(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    with measure_throughput(ledger):
        run_trial(ledger)
    before = ledger.study.user_attrs
    with measure_throughput(ledger):
        time.sleep(0.05)
    assert ledger.study.user_attrs == before
