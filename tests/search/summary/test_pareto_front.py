"""Searches with several objectives, once without training and once on a real cluster."""

import csv
import io
from pathlib import Path

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from raygenre.data.dataset import Dataset
from raygenre.model.network import parameter_count
from raygenre.model.networks import build
from raygenre.search.space.config import Resources
from raygenre.search.space.samplers import sampler
from raygenre.search.study.backend import StudyError
from raygenre.search.study.ledger import RUN, Ledger, losses
from raygenre.search.summary import pareto_front
from raygenre.search.trials.phases import TextDisplay
from raygenre.tracking.server import Server
from raygenre.workflows import tune
from tests.conftest import new_ledger
from tests.helpers.storages import empty_storage

POINTS = {0: (0.9, 5000), 1: (0.7, 3000), 2: (0.6, 4000), 3: (0.5, 1000), 4: (0.7, 9000)}  # accuracy, parameters


def filled(tracks: Dataset, folder: Path) -> Ledger:
    ledger = new_ledger(folder, tracks, trials=6, epochs=1, objectives=["accuracy", "parameters"])
    draw = sampler("tpe", seed=0, trials=9)
    for number, (accuracy, size) in POINTS.items():
        ledger.start_trial(draw, ledger.config.distributions)
        ledger.report(number, epoch=1, loss=1 - accuracy)
        ledger.finish(number, measured={"objective_accuracy": accuracy, "objective_parameters": size, "epoch": 1})
    ledger.start_trial(draw, ledger.config.distributions)
    ledger.finish(5, failure="out of memory")
    return ledger


def test_the_front_has_the_unbeaten_trials_best_first(tracks: Dataset, tmp_path: Path) -> None:
    ledger = filled(tracks, tmp_path)
    assert ledger.study.directions == [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    assert [trial.number for trial in ledger.front()] == [0, 1, 3]
    assert [trial.number for trial in ledger.top(2)] == [0, 1]
    assert [trial.number for trial in ledger.top(9)] == [0, 1, 3]


def test_epochs_are_kept_without_intermediate_values(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks, trials=2, epochs=12, objectives=["loss", "parameters"])
    number = ledger.start_trial(sampler("random", seed=0, trials=9), ledger.config.distributions).number
    for epoch in range(1, 13):
        ledger.report(number, epoch=epoch, loss=1 / epoch)
        ledger.report(number, epoch=epoch, loss=9.0)  # reported again after the search is resumed
    assert losses(ledger.trials[number]) == {epoch: 1 / epoch for epoch in range(1, 13)}
    assert ledger.trials[number].intermediate_values == {}
    assert ledger.loss(number) == 1 / 12
    assert ledger.finish(number, measured={"objective_loss": 0.1, "objective_parameters": 7}) is TrialState.COMPLETE
    assert ledger.trials[number].values == [0.1, 7.0]


def test_table_and_csv_have_the_same_rows(tracks: Dataset, tmp_path: Path) -> None:
    ledger = filled(tracks, tmp_path)
    rows = list(csv.DictReader(io.StringIO(pareto_front.to_csv(ledger))))
    assert [(int(row["trial"]), float(row["accuracy"]), float(row["parameters"])) for row in rows] == [
        (number, *POINTS[number]) for number in (0, 1, 3)
    ]
    assert float(rows[0]["dropout"]) == ledger.trials[0].params["dropout"]
    text = io.StringIO()
    TextDisplay(text).table(pareto_front.table(ledger))
    assert "Pareto front for accuracy and parameters" in text.getvalue()
    lines = [line.split() for line in text.getvalue().splitlines()]
    assert [line[:3] for line in lines if line[0].isdigit()] == [
        ["0", "90.0%", "5,000"],
        ["1", "70.0%", "3,000"],
        ["3", "50.0%", "1,000"],
    ]


def test_several_objectives_exclude_a_scheduler(tracks: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="use --scheduler none"):
        new_ledger(tmp_path, tracks, objectives=["loss", "latency"], scheduler="asha")


@pytest.mark.slow
def test_a_search_with_three_objectives_ends_with_a_front(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    storage = empty_storage(tmp_path)
    ledger = new_ledger(
        storage.studies.folder,
        tracks,
        trials=4,
        epochs=2,
        objectives=["accuracy", "parameters", "latency"],
        space={"width": {"low": 2, "high": 16, "log": True}, "dense": 8},
        starts=[{"width": 2}, {"width": 16}],
        top_k=2,
    )
    text = io.StringIO()
    outcome = tune.run(
        ledger, tracks, Server(storage), resources=Resources(1, 0), promote=None, display=TextDisplay(text)
    )
    assert [trial.state for trial in ledger.trials] == [TrialState.COMPLETE] * 4
    for trial in ledger.trials:
        assert trial.values[1] == parameter_count(build(ledger.setting(trial.number).model(3)))
        assert trial.values[2] > 0
        assert sorted(losses(trial)) == [1, 2]
    assert ledger.trials[0].values[1] < ledger.trials[1].values[1]
    assert outcome.candidate.winner.number in [trial.number for trial in ledger.top(2)]
    assert outcome.parameters == ledger.trials[outcome.candidate.winner.number].values[1]
    assert "Pareto front for" in text.getvalue()
    client = Server(storage).client
    parent = ledger.study.user_attrs[RUN]
    assert {"front.csv", "run.yaml"} <= {file.path for file in client.list_artifacts(parent)}
    run = client.get_run(str(ledger.trial_run(0)))
    for name, value in zip(ledger.config.objectives, ledger.trials[0].values, strict=True):
        [metric] = client.get_metric_history(run.info.run_id, f"objective_{name}")
        assert (metric.step, metric.value) == (2, value)
    assert run.data.tags["on_front"] in ("True", "False")
    with pytest.raises(StudyError, match="can only increase"):
        ledger.extend(1)
