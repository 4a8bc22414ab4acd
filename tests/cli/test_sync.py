"""`raygenre sync`."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raygenre.cli import app
from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from raygenre.search.space.space import default_space
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.mlflow_ids import trial_name
from raygenre.system.storage import Storage, resolve
from raygenre.tracking.server import Server
from raygenre.tracking.tracker import Tracker
from tests.conftest import new_ledger
from tests.helpers.mlflow_server import free_port, values
from tests.helpers.storages import empty_storage

RUNNER = CliRunner()


def test_sync_uploads_updates_queued_without_mlflow(tracks: Dataset, tmp_path: Path) -> None:
    storage = empty_storage(tmp_path)
    ledger = new_ledger(storage.studies.folder, tracks)
    number = ledger.start_trial(sampler("random", seed=0, trials=3), default_space(2)).number
    tracker = Tracker(Server(Storage(tmp_path, f"http://127.0.0.1:{free_port()}")), ledger.folder, ledger.id)
    run = tracker.start(trial_name(number), "trial")
    for epoch in (1, 2):
        tracker.log(run, {"loss": 1 / epoch}, step=epoch)
        ledger.report(number, epoch=epoch, loss=1 / epoch)
    tracker.end(run, "FINISHED")
    ledger.finish(number)
    tracker.close()

    busy = RUNNER.invoke(app, ["sync", "--storage", str(tmp_path)])
    assert busy.exit_code == 0
    assert "another driver" in busy.stdout
    assert "uploads them itself" in busy.stdout
    unreachable = f"http://127.0.0.1:{free_port()}"
    ledger.close()

    result = RUNNER.invoke(app, ["sync", "--storage", str(tmp_path), "--study", "study"])
    assert result.exit_code == 0, result.output
    assert "study: 4 updates uploaded" in result.stdout
    server = Server(storage)
    [logged] = server.client.search_runs([server.experiment_id])
    assert logged.info.status == "FINISHED"
    assert values(server, logged.info.run_id, "loss") == [(1, 1.0), (2, 0.5)]
    reopened = Ledger.open(storage.studies, "study", url=None)
    assert reopened.trial_run(number) == logged.info.run_id
    reopened.close()

    result = RUNNER.invoke(app, ["sync", "--storage", str(tmp_path), "--tracking-uri", unreachable])
    assert result.exit_code == 0
    assert "no updates are queued" in result.stdout


def test_sync_reports_that_mlflow_is_still_unreachable(
    tracks: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["raygenre.cli.sync"], "PATIENCE", 0.5)
    unreachable = f"http://127.0.0.1:{free_port()}"
    ledger = new_ledger(resolve(tmp_path).studies.folder, tracks)
    tracker = Tracker(Server(Storage(tmp_path, unreachable)), ledger.folder, ledger.id)
    tracker.start("study", "search")
    tracker.close()
    ledger.close()
    result = RUNNER.invoke(app, ["sync", "--storage", str(tmp_path), "--tracking-uri", unreachable])
    assert result.exit_code == 1
    assert "connection refused" in result.stderr
    assert "still queued: 1 update" in result.stderr
    unknown = RUNNER.invoke(app, ["sync", "--storage", str(tmp_path), "--study", "spring"])
    assert unknown.exit_code == 2
    assert "studies: study" in unknown.stderr
