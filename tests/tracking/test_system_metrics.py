import time
from pathlib import Path

import pytest

from raygenre.system import hardware
from raygenre.tracking.server import Server
from raygenre.tracking.system_metrics import INTERVAL, interval_after, log_system_metrics
from raygenre.tracking.tracker import Tracker
from tests.helpers.mlflow_server import values
from tests.helpers.storages import empty_storage


def test_system_metrics_continue_with_the_next_driver(tmp_path: Path) -> None:
    storage = empty_storage(tmp_path)
    counts = []
    for _ in range(2):
        tracker = Tracker(Server(storage), tmp_path / "study", "metrics")
        run = tracker.start("search", "search")
        with log_system_metrics(tracker, run, interval=0.05):
            deadline = time.monotonic() + 30
            target = 3 + max(tracker.steps(run, hardware.CPU), default=0)
            while len(tracker.steps(run, hardware.CPU)) < target and time.monotonic() < deadline:
                time.sleep(0.01)
        counts.append(len(tracker.steps(run, hardware.CPU)))
        time.sleep(0.2)
        assert len(tracker.steps(run, hardware.CPU)) == counts[-1]  # logging stops when the context ends
        assert tracker.flush(60)
        run_id = tracker.run_id(run)
        tracker.close()
    assert counts[1] >= counts[0] + 3 >= 6
    logged = values(Server(storage), run_id, hardware.CPU)
    assert [step for step, _ in logged] == list(range(1, counts[1] + 1))
    assert all(0 <= value <= 100 for _, value in logged)


def test_a_short_search_logs_one_value(tmp_path: Path) -> None:
    tracker = Tracker(Server(empty_storage(tmp_path)), tmp_path / "study", "short")
    run = tracker.start("search", "search")
    for _ in range(2):
        with log_system_metrics(tracker, run):
            time.sleep(0.1)
        assert tracker.steps(run, hardware.CPU) == {1}
    tracker.close()


def test_a_full_disk_stops_system_metrics_but_not_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker(Server(empty_storage(tmp_path)), tmp_path / "study", "full")
    run = tracker.start("search", "search")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tracker, "log", full)
    with log_system_metrics(tracker, run, interval=0.01):
        time.sleep(0.1)
    tracker.close()


@pytest.mark.parametrize(("hours", "most"), [(1, 361), (24, 1700), (24 * 7, 2800)])
def test_long_searches_log_few_values(hours: int, most: int) -> None:
    elapsed, count = 0.0, 0
    while elapsed < 3600 * hours:
        elapsed += interval_after(count, INTERVAL)
        count += 1
    assert count <= most
