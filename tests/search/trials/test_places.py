"""Trials on a real cluster pause, continue and stop as their search's controls require."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from raygenre.data.dataset import Dataset
from raygenre.search.controls import Controls
from raygenre.search.space.config import Resources
from raygenre.search.study import backend
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.time_used import TimeUsed
from raygenre.search.trials.places import Places
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.search.trials.timings import Work
from tests.conftest import new_ledger
from tests.helpers.trials import search

EPOCHS = 4


def trainable_for(folder: Path) -> Callable[..., None]:
    """Return a trainable that records each epoch it trains, and resumes after the last recorded one."""

    def trainable(config: dict[str, Any], *, plan: object, shared: object) -> None:
        from ray import tune

        from tests.helpers.trials import epoch_report

        state = folder / str(config["number"])
        done = len(state.read_text().split()) if state.exists() else 0
        for epoch in range(1, EPOCHS + 1):
            if epoch > done:
                time.sleep(0.3)
                with state.open("a") as file:
                    file.write(f"{epoch}\n")
            tune.report(epoch_report(epoch, 1 / epoch))

    return trainable


def trained(folder: Path) -> dict[int, list[int]]:
    return {int(path.name): [int(line) for line in path.read_text().split()] for path in folder.glob("*")}


@contextmanager
def controlling(steps: Callable[[], None]) -> Iterator[None]:
    """Run the steps in another thread, as the service does, and re-raise their errors."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            steps()
        except BaseException as error:  # noqa: BLE001 (raised below)
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()
    if errors:
        raise errors[0]


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def check_every_epoch_once(ledger: Ledger, storage: Any, folder: Path, trials: int, *, failed: int = -1) -> None:
    epochs = list(range(1, EPOCHS + 1))
    numbers = set(range(trials)) - {failed}
    assert {number: trained(folder)[number] for number in numbers} == dict.fromkeys(numbers, epochs)
    for trial in map(ledger.trial, numbers):
        assert trial.state is TrialState.COMPLETE
        assert sorted(trial.intermediate_values) == epochs
        run = storage.client.get_run(ledger.trial_run(trial.number))
        assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "complete")
        steps = storage.client.get_metric_history(run.info.run_id, "validation_loss")
        assert Counter(metric.step for metric in steps) == Counter(epochs)


def test_waiting_for_a_place_takes_no_time(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    now, controls = [0.0], Controls(limit=0)
    ledger = new_ledger(tmp_path, tracks)
    timer = SearchTimer(ledger, Work(2, EPOCHS, finalists=1, repeats=2, slots=1))
    used = TimeUsed(ledger, clock=lambda: now[0])
    places = Places(controls, Resources(1, 0), timer=timer, time_used=used, clock=lambda: now[0])

    def spend(seconds: float, *, wanted: int = 2, running: int = 0) -> float:
        places.report("trials", wanted=wanted, running=running)
        now[0] += seconds
        places.report("trials", wanted=wanted, running=running)
        return used.seconds

    assert spend(3600) == 0
    assert spend(10, running=1) == 10  # an epoch ends before its trial pauses
    assert spend(10, wanted=0) == 20  # no more training, so no place is necessary
    assert spend(3600) == 20
    controls.limit = 1
    assert spend(10) == 30


@pytest.mark.slow
def test_trials_over_the_limit_pause_and_continue(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    folder, controls = tmp_path / "trained", Controls()
    folder.mkdir()

    def running() -> int:
        return controls.demand.running if controls.demand else -1

    def places() -> int:
        return controls.demand.places if controls.demand else -1

    def steps() -> None:
        wait_until(lambda: len(trained(folder)) == 2)
        controls.limit = 1
        wait_until(lambda: running() == 1)
        assert controls.demand is not None
        assert (controls.demand.phase, controls.demand.cpus, controls.demand.gpus) == ("trials", 1, 0)
        wait_until(lambda: places() == 5 - sum(len(epochs) == EPOCHS for epochs in trained(folder).values()))
        controls.limit = 0
        wait_until(lambda: running() == 0)
        time.sleep(0.5)
        before = trained(folder)
        time.sleep(1)
        assert trained(folder) == before
        other = optuna.load_study(study_name=ledger.name, storage=backend.storage(ledger.folder, None))
        paused = min(number for number, epochs in before.items() if len(epochs) < EPOCHS)
        other.tell(paused, state=TrialState.FAIL)
        enqueued.append(len(ledger.trials))
        other.enqueue_trial({"dropout": 0.123})
        controls.limit = None

    enqueued = list[int]()
    ledger = new_ledger(tmp_path / "studies", tracks, trials=5, epochs=EPOCHS)
    with controlling(steps):
        server, _ = search(ledger, tracks, tmp_path, trainable=trainable_for(folder), controls=controls)
    assert ledger.trial(enqueued[0]).params["dropout"] == 0.123  # the enqueued trial was the next to start
    [failed] = [trial for trial in ledger.trials if trial.state is TrialState.FAIL]
    assert sorted(failed.intermediate_values) == trained(folder)[failed.number]
    assert len(failed.intermediate_values) < EPOCHS
    check_every_epoch_once(ledger, server, folder, 5, failed=failed.number)


@pytest.mark.slow
def test_a_stopped_search_continues_with_more_trials(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    folder, stopped = tmp_path / "trained", Controls()
    folder.mkdir()

    def steps() -> None:
        wait_until(lambda: sum(map(len, trained(folder).values())) >= 3)
        stopped.request_stop()

    ledger = new_ledger(tmp_path / "studies", tracks, trials=3, epochs=EPOCHS)
    with controlling(steps):
        server, _ = search(ledger, tracks, tmp_path, trainable=trainable_for(folder), controls=stopped)
    assert ledger.unfinished()
    for trial in ledger.unfinished():  # the epoch in progress is not lost
        assert sorted(trial.intermediate_values) == trained(folder).get(trial.number, [])
        if not trial.intermediate_values:  # that trial had not started yet
            continue
        run = server.client.get_run(ledger.trial_run(trial.number) or "")
        assert (run.info.status, run.data.tags["state"]) == ("KILLED", "interrupted")
    more = Controls(trials=4, limit=2)
    server, printed = search(ledger, tracks, tmp_path, trainable=trainable_for(folder), controls=more, resumed=True)
    assert ledger.config.trials == 4
    assert "now 4" in printed
    check_every_epoch_once(ledger, server, folder, 4)
