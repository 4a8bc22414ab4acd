"""The number of HTTP requests needed to log a search to MLflow; it is the same on every machine.

`benchmarks/tracking.py` compares how long the tracker and Ray's own callback take.
"""

from pathlib import Path

import mlflow
import pytest
import typer
from typer.testing import CliRunner

from benchmarks import tracking
from benchmarks.tracking import (
    EXPERIMENT,
    NAMES,
    Cost,
    Values,
    count_requests,
    log_with_callback,
    log_with_tracker,
    logged_values,
    value,
)
from tests.helpers.mlflow_server import MlflowServer

TRIALS, EPOCHS = 3, 12

EXPECTED: Values = {
    trial: {name: [(epoch, value(trial, epoch, name)) for epoch in range(1, EPOCHS + 1)] for name in NAMES}
    for trial in range(TRIALS)
}


@pytest.mark.slow
def test_tracker_needs_a_tenth_of_the_requests_of_the_callback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    server = MlflowServer(tmp_path / "server")
    server.start()
    calls = {}
    try:
        for experiment, log in (("raygenre", log_with_tracker), (EXPERIMENT, log_with_callback)):
            with count_requests() as count:
                log(tmp_path / "driver", server.uri, TRIALS, EPOCHS)
            calls[experiment] = count[0]
            assert logged_values(tmp_path / "driver", server.uri, experiment) == EXPECTED
    finally:
        server.kill()
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # the callback sets them globally
        mlflow.set_registry_uri(None)  # type: ignore[arg-type]
    assert calls["raygenre"] <= calls[EXPERIMENT] / 10, calls


@pytest.mark.parametrize(("times", "status"), [(9.9, 1), (10.1, 0)])
def test_benchmark_fails_below_a_speedup_of_ten(times: float, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(logger: str, trials: int, epochs: int) -> tuple[Cost, Values]:
        return Cost(times if logger == EXPERIMENT else 1.0, 0, 0.0, 0.0), EXPECTED

    monkeypatch.setattr(tracking, "measure", measure)
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    app = typer.Typer()
    app.command()(tracking.main)
    result = CliRunner().invoke(app, ["--trials", str(TRIALS), "--epochs", str(EPOCHS)])
    assert result.exit_code == status, result.output
    assert f"{times:.1f} times as long" in " ".join(result.stdout.split())
