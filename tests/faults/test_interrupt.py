"""An interrupted or killed search loses nothing, and `--resume` finishes it."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raygenre.pretrained import store
from tests.helpers.driver import STUDY, Driver, call, script
from tests.helpers.musicnn import small_features
from tests.helpers.processes import until

pytestmark = pytest.mark.slow


@pytest.fixture
def driver(tmp_path: Path, tracks_folder: Path) -> Iterator[Driver]:
    driver = Driver(tmp_path / "results", tracks_folder, trials=4, epochs=6)
    yield driver
    driver.kill()


def test_ctrl_c_stops_the_driver_and_prints_how_to_resume(driver: Driver) -> None:
    script()  # imported now so that the second driver starts while the first is training
    driver.start()
    driver.wait_for_epochs(1)
    second = call("--storage", str(driver.storage), "--resume", "--study", STUDY)
    assert second.exit_code == 2
    assert f"another driver (process {driver.pid}) is running the study {STUDY}" in " ".join(second.stderr.split())

    driver.wait_for_epochs(3)
    driver.interrupt()
    code, printed = driver.wait()
    assert code == 130, printed
    assert f"--resume --study {STUDY}" in printed
    assert "Traceback" not in printed
    before = driver.ledger()
    statuses = {run.info.status for run in driver.trial_runs()}
    assert {"KILLED"} <= statuses <= {"FINISHED", "KILLED"}

    driver.start(resume=True)
    driver.finish()
    after = driver.ledger()
    for early, late in zip(before, after, strict=False):
        assert early.params == late.params
        assert early.intermediate_values.items() <= late.intermediate_values.items()  # no epoch was trained twice
    driver.check_all_is_there()


def test_kills_lose_nothing(tmp_path: Path, tracks_folder: Path) -> None:
    """Workers and drivers are killed alternately at random times; only interrupted epochs are trained twice."""
    generator = random.Random(0)
    driver = Driver(tmp_path / "results", tracks_folder, trials=6, epochs=6, concurrent=2)
    try:
        driver.start()
        for kill in range(4):
            driver.wait_for_epochs(8 * kill + generator.randrange(1, 8))
            time.sleep(generator.random() / 2)
            before = driver.ledger()
            if kill % 2:
                driver.kill()
                driver.start(resume=True)
            else:
                until(driver.kill_a_worker)
            for early, late in zip(before, driver.ledger(), strict=False):
                assert early.params.items() <= late.params.items()  # parameters are chosen right after a trial starts
                assert early.intermediate_values.items() <= late.intermediate_values.items()
        before = driver.ledger()
        driver.finish()
        for early, late in zip(before, driver.ledger(), strict=False):
            assert early.intermediate_values.items() <= late.intermediate_values.items()
        driver.check_all_is_there()
    finally:
        driver.kill()


def test_a_killed_search_on_features_is_resumed(
    tmp_path: Path, songs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features are read from the cache, and no epoch is trained twice."""
    monkeypatch.setenv("RAYGENRE_CACHE", str(tmp_path / "cache"))
    small_features(store.default_folder())
    driver = Driver(tmp_path / "results", songs_folder, trials=3, epochs=50, new=("--model", "pretrained"))
    try:
        driver.start()
        driver.wait_for_epochs(5)
        driver.kill()
        before = driver.ledger()
        assert sum(len(trial.intermediate_values) for trial in before) < 3 * 50, "the search was killed too late"
        driver.start(resume=True)
        driver.finish()
        for early, late in zip(before, driver.ledger(), strict=False):
            assert early.params == late.params
            assert early.intermediate_values.items() <= late.intermediate_values.items()
        driver.check_all_is_there()
    finally:
        driver.kill()
