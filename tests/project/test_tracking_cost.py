"""What it costs to tell MLflow of a search, counted in calls, which is the same on every machine.

How long it takes beside Ray's own callback `benchmarks/tracking.py` measures.
"""

from pathlib import Path

import mlflow
import pytest
import typer
from typer.testing import CliRunner

from benchmarks import tracking
from benchmarks.tracking import EXPERIMENT, NAMES, Cost, Told, counted, tell, tell_by_stock, told, value
from tests.helpers.mlflow_server import MlflowServer

TRIALS, EPOCHS = 3, 12

EVERYTHING: Told = {
    trial: {name: [(epoch, value(trial, epoch, name)) for epoch in range(1, EPOCHS + 1)] for name in NAMES}
    for trial in range(TRIALS)
}


@pytest.mark.slow
def test_a_tenth_of_the_stock_callbacks_calls_is_enough_and_the_same_values_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    server = MlflowServer(tmp_path / "server")
    server.start()
    calls = {}
    try:
        for experiment, telling in (("raygenre", tell), (EXPERIMENT, tell_by_stock)):
            with counted() as count:
                telling(tmp_path / "driver", server.uri, TRIALS, EPOCHS)
            calls[experiment] = count[0]
            assert told(tmp_path / "driver", server.uri, experiment) == EVERYTHING
    finally:
        server.kill()
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # the stock callback sets them for the whole process
        mlflow.set_registry_uri(None)  # type: ignore[arg-type]
    assert calls["raygenre"] <= calls[EXPERIMENT] / 10, calls


@pytest.mark.parametrize(("times", "status"), [(9.9, 1), (10.1, 0)])
def test_the_benchmark_fails_below_ten_times_as_fast(
    times: float, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(which: str, trials: int, epochs: int) -> tuple[Cost, Told]:
        return Cost(times if which == EXPERIMENT else 1.0, 0, 0.0, 0.0), EVERYTHING

    monkeypatch.setattr(tracking, "measured", measured)
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    app = typer.Typer()
    app.command()(tracking.main)
    result = CliRunner().invoke(app, ["--trials", str(TRIALS), "--epochs", str(EPOCHS)])
    assert result.exit_code == status, result.output
    assert f"{times:.1f} times as long" in " ".join(result.stdout.split())
