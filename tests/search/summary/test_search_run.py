"""The MLflow run of a real search."""

import csv
import io
import json
from pathlib import Path

import pytest
from mlflow.entities import Run
from optuna.trial import TrialState
from PIL import Image

from raygenre.data import split_summary
from raygenre.data.dataset import Dataset
from raygenre.data.split_summary import Part
from raygenre.search.space.config import Resources
from raygenre.search.space.samplers import sampler
from raygenre.search.study import checkpoint_retention
from raygenre.search.study.ledger import CHECKPOINT, RUN
from raygenre.search.study.mlflow_ids import note_run_ids
from raygenre.search.summary import description
from raygenre.search.summary.figures import TITLES
from raygenre.search.summary.search_run import NOTE, trials_csv
from raygenre.search.trials.finalists import Finalist
from raygenre.search.trials.recorder import GONE, TrialRecorder
from raygenre.search.trials.trial_config import TrialConfig
from raygenre.system import code_version, hardware
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from raygenre.tracking.tracker import Tracker
from tests.conftest import FinishedSearch, new_ledger, small_config
from tests.helpers.shared_views import unpack
from tests.helpers.storages import empty_storage
from tests.helpers.trials import epoch_report


@pytest.fixture(scope="module")
def server(finished: FinishedSearch) -> Server:
    return finished.server


@pytest.fixture(scope="module")
def run(finished: FinishedSearch, server: Server) -> Run:
    return server.client.get_run(str(finished.ledger.study.user_attrs[RUN]))


def artifact(server: Server, run: Run, path: str) -> Path:
    return Path(server.client.download_artifacts(run.info.run_id, path))


def test_the_data_are_logged_as_inputs_with_counts(finished: FinishedSearch, run: Run) -> None:
    parts = split_summary.parts(finished.dataset, finished.ledger.split)
    assert run.inputs is not None
    datasets = {dataset_input.tags[0].value: dataset_input.dataset for dataset_input in run.inputs.dataset_inputs}
    assert datasets.keys() == {part.use for part in parts}
    for part in parts:
        dataset = datasets[part.use]
        assert (dataset.name, dataset.digest) == (part.name, part.digest[:16])
        assert json.loads(dataset.profile or "") == {"num_rows": part.tracks, "counts": part.counts}
        assert json.loads(dataset.source) == {"uri": finished.dataset.source}


def test_code_and_machine_are_logged(run: Run, server: Server) -> None:
    about = json.loads(artifact(server, run, "environment.json").read_text())
    assert about["versions"] == code_version.versions()
    assert about["hardware"] == hardware.describe_hardware()
    assert about["nodes"][0]["CPU"] >= 1
    assert about["seed"] == 0
    assert len(about["not settled by the seed"]) == 3
    assert (about["commit"] is None) == (code_version.commit() is None)
    assert run.data.tags.get("mlflow.source.git.commit") == (about["commit"] or {}).get("sha")
    assert run.data.tags["hardware.cores"] == str(hardware.describe_hardware()["cores"])


def test_fixed_settings_are_params_of_the_search(finished: FinishedSearch, run: Run) -> None:
    config = finished.ledger.config
    params = run.data.params
    assert {name: params[name] for name in ("sampler", "seed", "folds", "epochs", "objectives", "width")} == {
        "sampler": config.sampler, "seed": "0", "folds": "2", "epochs": "2", "objectives": "loss", "width": "8"
    }  # fmt: skip
    assert params["batch_size"] == str(config.fixed["batch_size"])
    assert params.keys().isdisjoint({*config.distributions, "trials", "starts", "duplicates"})
    assert run.data.tags["trials"] == "3"  # a tag and not a param, because resuming may change it
    assert (run.data.tags["patience"], run.data.tags["warm_start"]) == ("9", "spring trial 3")
    assert {"patience", "time_budget", "warm_start"}.isdisjoint(params)
    assert not [name for name, text in (*params.items(), *run.data.tags.items()) if text in ("None", "[]", "{}", "")]


def test_the_view_shows_the_results_and_the_searched_values(finished: FinishedSearch, server: Server) -> None:
    tags = server.client.get_experiment(server.experiment_id).tags
    [text] = [text for tag, text in tags.items() if tag.endswith(finished.ledger.id)]
    assert json.loads(text)["name"] == finished.ledger.name
    state = unpack(json.loads(text)["state"])
    assert state["selectedColumns"] == [
        "metrics.`best_validation_loss`", "metrics.`validation_accuracy`",
        *(f"params.`{name}`" for name in finished.ledger.config.distributions), "tags.`state`",
    ]  # fmt: skip
    shown = server.client.search_runs([server.experiment_id], state["searchFilter"])
    assert {run.info.run_id for run in shown} == {
        finished.ledger.trial_run(trial.number) for trial in finished.ledger.trials
    }


def test_the_table_of_trials_matches_the_study(finished: FinishedSearch, run: Run, server: Server) -> None:
    rows = list(csv.DictReader(io.StringIO(artifact(server, run, "trials.csv").read_text())))
    for row, trial in zip(rows, finished.ledger.trials, strict=True):
        assert (int(row["trial"]), row["run"], row["state"]) == (trial.number, f"trial-{trial.number:04d}", "complete")
        assert {name: float(row[name]) for name in trial.params} == trial.params
        assert float(row["loss"]) == float(row["lowest_loss"]) == trial.value
        assert trial.intermediate_values[int(row["best_epoch"])] == trial.value
        assert float(row["seconds"]) > 0


def test_the_figures_are_artifacts(run: Run, server: Server) -> None:
    pictures = artifact(server, run, "figures")
    drawn = {path.stem for path in pictures.glob("*.png")}
    assert drawn == TITLES.keys() - {"importances", "contour"}  # three trials are too few for these figures
    assert Image.open(io.BytesIO((pictures / "learning_curves.png").read_bytes())).size == (720, 420)
    assert "Not drawn: it needs 4 trials" in (pictures / "all.html").read_text()


def test_duration_and_throughput_are_logged(finished: FinishedSearch, run: Run) -> None:
    seconds, rate = run.data.metrics["search_seconds"], run.data.metrics["trials_per_hour"]
    assert seconds > 0
    assert rate == pytest.approx(3600 * 3 / seconds)
    assert run.data.metrics["best_validation_loss"] == finished.ledger.top(1)[0].value
    assert run.data.metrics["best_validation_loss_on_new_seeds"] == finished.outcome.candidate.winner.loss


def test_system_metrics_are_logged_even_for_short_searches(run: Run) -> None:
    assert 0 <= run.data.metrics[hardware.CPU] <= 100
    assert 0 < run.data.metrics["system/system_memory_usage_percentage"] < 100


def test_the_note_starts_with_the_result(finished: FinishedSearch, run: Run) -> None:
    winner = finished.outcome.candidate.winner
    text = run.data.tags[NOTE]
    assert text.startswith(f"**Trial {winner.number} is best on new seeds**: dropout ")
    assert f"{winner.loss:.3f} ± {winner.spread:.3f}, {winner.search_loss:.3f} in the search" in text
    assert "3 completed, 0 were pruned and 0 failed" in text
    assert "| bells&emsp; | 8&emsp; | 4&emsp; | 4&emsp; | 2&emsp; |" in text
    assert "which settings the sampler proposes" in text


def test_a_note_is_short_enough_for_any_search(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks, trials=9)
    draw = sampler("random", seed=0, trials=9)
    numbers = [ledger.start_trial(draw, ledger.config.distributions).number for _ in range(9)]
    setting = ledger.setting(0)
    finalists = [Finalist(number, setting, 1.0, (1.1, 1.3), (0.5, 0.6), (7, 9)) for number in numbers]
    counts = {f"a genre of a long name, number {number}": 1000 for number in range(300)}
    parts = [Part("data", "/a/long/path" * 9, f"training {fold}", "0" * 64, counts) for fold in range(21)]
    text = description.note(ledger, parts, Resources(1, 1), finalists)
    assert "and 260 more" in text
    assert len(text) < 8000  # the limit for MLflow tags


@pytest.mark.parametrize(
    ("changes", "resources", "included", "excluded"),
    [
        ({"sampler": "random"}, Resources(1, 0), ["rounds differently"], ["in any order", "CUDA", "interrupted"]),
        (
            {"sampler": "random", "scheduler": "asha"},
            Resources(1, 0),
            ["affects which trials are stopped"],
            ["sampler"],
        ),
        ({"sampler": "tpe"}, Resources(1, 0, 1), ["interrupted"], ["in any order"]),
        ({"sampler": "tpe"}, Resources(1, 0.5), ["in any order", "CUDA"], ["stopped"]),
        ({"objectives": ["loss", "latency"]}, Resources(1, 0), ["the latency is measured"], []),
    ],
)
def test_what_the_seed_does_not_fix_is_listed(
    tracks: Dataset, changes: dict[str, object], resources: Resources, included: list[str], excluded: list[str]
) -> None:
    lines = "\n".join(description.nondeterminism(small_config(tracks, **changes), resources))
    assert all(words in lines for words in included)
    assert not any(words in lines for words in excluded)


def test_the_table_includes_failed_and_running_trials(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    draw = sampler("random", seed=0, trials=9)
    failed, running = (ledger.start_trial(draw, ledger.config.distributions).number for _ in range(2))
    ledger.finish(failed, failure="loss is nan")
    ledger.report(running, epoch=1, loss=0.5)
    first, second = csv.DictReader(io.StringIO(trials_csv(ledger)))
    assert (first["state"], first["failure"], first["epochs"], first["lowest_loss"]) == ("fail", "loss is nan", "0", "")
    assert (second["state"], second["loss"], second["lowest_loss"], second["seconds"]) == ("running", "", "0.5", "")


def test_trial_runs_have_the_location_of_their_state(finished: FinishedSearch, server: Server) -> None:
    best = checkpoint_retention.kept(finished.ledger)
    for trial in finished.ledger.trials:
        trial_run = server.client.get_run(finished.ledger.trial_run(trial.number) or "")
        folder = finished.ledger.checkpoint_location(trial.number).folder
        assert trial_run.data.tags[CHECKPOINT] == (str(folder) if trial.number in best else GONE)
        assert folder.exists() == (trial.number in best)
        assert {"learning_rate", "validation_loss"} <= trial_run.data.metrics.keys()


def test_a_trial_run_ends_like_its_trial(tracks: Dataset, tmp_path: Path) -> None:
    """The trials, in order: complete, best, stopped, failed, and still running when the search is interrupted."""
    ledger = new_ledger(tmp_path / "studies", tracks, trials=5)
    tracker = Tracker(Server(empty_storage(tmp_path)), ledger.folder, ledger.id)
    recorder = TrialRecorder(ledger, tracker, tracker.start("search", "search"))
    draw = sampler("random", seed=0, trials=9)
    ends = [("FINISHED", "complete"), ("FINISHED", "complete"), ("FINISHED", "pruned"), ("FAILED", "fail")]
    for number, epochs in enumerate((2, 2, 1, 1, 1)):
        trial = TuneTrial(TrialConfig.of(ledger, ledger.start_trial(draw, ledger.config.distributions)))
        recorder.on_trial_start(0, [], trial)  # type: ignore[arg-type]
        for epoch in range(1, epochs + 1):
            ledger.checkpoint_location(number).folder.mkdir(parents=True, exist_ok=True)
            recorder.on_trial_result(0, [], trial, epoch_report(epoch, 1.0 - number / 10))  # type: ignore[arg-type]
        if number < len(ends):
            ledger.finish(number, failure="loss is nan in epoch 2" if number == 3 else None)
            recorder.on_trial_complete(0, [], trial)  # type: ignore[arg-type]
    recorder.interrupt()
    assert tracker.flush(60)
    note_run_ids(ledger, tracker)
    tracker.close()
    client = Server(resolve(tmp_path)).client
    runs = [client.get_run(ledger.trial_run(number) or "") for number in range(5)]
    assert [(run.info.status, run.data.tags["state"]) for run in runs] == [*ends, ("KILLED", "interrupted")]
    assert runs[3].data.tags["failure"] == "loss is nan in epoch 2"
    kept = [run.data.tags[CHECKPOINT] for run in runs]
    assert kept == [
        GONE,
        str(ledger.checkpoint_location(1).folder),
        GONE,
        GONE,
        str(ledger.checkpoint_location(4).folder),
    ]
    assert [ledger.checkpoint_location(number).folder.exists() for number in range(5)] == [
        False,
        True,
        False,
        False,
        True,
    ]
    assert [trial.state for trial in ledger.trials[2:]] == [TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]


def test_a_worker_that_dies_before_training_fails_its_trial(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path / "studies", tracks, trials=1)
    tracker = Tracker(Server(empty_storage(tmp_path)), ledger.folder, ledger.id)
    search = tracker.start("search", "search")
    recorder = TrialRecorder(ledger, tracker, search)
    frozen = ledger.start_trial(sampler("random", seed=0, trials=9), ledger.config.distributions)
    trial = TuneTrial(TrialConfig.of(ledger, frozen), error_file=tmp_path / "error.txt")
    (tmp_path / "error.txt").write_text(
        "Failure # 1 (occurred at noon)\nThe actor is dead because its node has died.\n"
    )
    recorder.on_trial_error(0, [], trial)  # type: ignore[arg-type]  # on_trial_start was never called
    assert tracker.flush(60), tracker.unreachable_reason
    note_run_ids(ledger, tracker)
    tracker.close()
    server = Server(resolve(tmp_path))
    run = server.client.get_run(ledger.trial_run(0) or "")
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"] == ledger.failure(0) == "its worker died repeatedly"
    assert "its node has died" in artifact(server, run, "error.txt").read_text()
    assert run.data.tags["mlflow.parentRunId"] == tracker.run_id(search)


class TuneTrial:
    """A Ray Tune trial with only the attributes that the recorder needs."""

    def __init__(self, config: TrialConfig, *, error_file: Path | None = None) -> None:
        self.config = config.to_dict()
        self.error_file = error_file
