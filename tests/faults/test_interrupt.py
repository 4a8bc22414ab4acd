"""A search that is interrupted or killed loses nothing, and `--resume` finishes it as if nothing had happened."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.driver import STUDY, Driver
from tests.test_tune import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def driver(tmp_path: Path, tracks_folder: Path) -> Iterator[Driver]:
    driver = Driver(tmp_path / "results", tracks_folder, trials=4, epochs=6)
    yield driver
    driver.kill()


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(driver: Driver) -> None:
    driver.start()
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
        assert early.intermediate_values.items() <= late.intermediate_values.items()  # nothing was trained anew
    driver.check_all_is_there()


def test_a_killed_driver_is_resumed_from_the_ledger(driver: Driver) -> None:
    driver.start()
    driver.wait_for_epochs(4)
    driver.kill()
    before = driver.ledger()
    driver.start(resume=True)
    driver.finish()
    for early, late in zip(before, driver.ledger(), strict=False):
        assert early.params == late.params
        assert early.intermediate_values.items() <= late.intermediate_values.items()
    driver.check_all_is_there()


def test_a_killed_worker_goes_on_from_its_last_epoch(driver: Driver) -> None:
    driver.start()
    for epochs in (2, 6):
        driver.wait_for_epochs(epochs)
        assert driver.kill_a_worker()
    driver.finish()
    driver.check_all_is_there()


def test_a_second_driver_is_refused(driver: Driver) -> None:
    driver.start()
    driver.wait_for_epochs(1)
    script = str(ROOT / "experiments" / "tune.py")
    second = [sys.executable, script, "--storage", str(driver.storage), "--resume", "--study", STUDY]
    refused = subprocess.run(second, capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 2
    assert f"another driver (process {driver.pid}) works on the study {STUDY}" in " ".join(refused.stdout.split())
    driver.finish()
    driver.check_all_is_there()


@pytest.mark.timeout(1500)
def test_many_kills_lose_nothing(tmp_path: Path, tracks_folder: Path) -> None:
    """Drivers and workers die at random moments, seven times; no epoch is trained twice but the one under way."""
    chance = random.Random(0)
    driver = Driver(tmp_path / "results", tracks_folder, trials=8, epochs=8)
    try:
        driver.start()
        for kill in range(7):
            driver.wait_for_epochs(8 * kill + chance.randrange(1, 8))
            time.sleep(chance.random())
            before = driver.ledger()
            if kill % 3 == 1:
                driver.kill_a_worker()
            else:
                driver.kill()
                driver.start(resume=True)
            after = driver.ledger()
            for early, late in zip(before, after, strict=False):
                assert early.params == late.params
                assert early.intermediate_values.items() <= late.intermediate_values.items()
        driver.finish()
        driver.check_all_is_there()
    finally:
        driver.kill()
