"""A complete search with a small data set, a real cluster and a real tracking database."""

import io
import json
import re
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import torch
from mlflow.entities import Run
from optuna.trial import TrialState

from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.model.calibration import calibrate
from raygenre.registry import champion, promotion_lock, versions
from raygenre.registry.promotion_lock import LockLostError
from raygenre.search.space.config import Resources
from raygenre.search.space.samplers import sampler
from raygenre.search.study.ledger import CHECKPOINT, RUN
from raygenre.search.study.problems import problem
from raygenre.search.tracking_session import tracking_session
from raygenre.search.trials.failure_watch import SearchFailedError
from raygenre.search.trials.phases import LINE_WIDTH, TextDisplay
from raygenre.search.trials.time_left import PHASES
from raygenre.search.trials.trial_result import METRICS
from raygenre.spectrogram.image import write_png
from raygenre.tracking.server import Server
from raygenre.tracking.tracker import Tracker
from raygenre.training import checkpoint
from raygenre.workflows import tune
from tests.conftest import FinishedSearch, new_ledger
from tests.helpers.storages import empty_storage


def parent_run(finished: FinishedSearch) -> str:
    return str(finished.ledger.study.user_attrs["mlflow_run_id"])


def children(finished: FinishedSearch, parent: str, role: str) -> list[Run]:
    server = finished.server
    runs = server.client.search_runs(
        [server.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}' and tags.role = '{role}'"
    )
    return sorted(runs, key=lambda run: str(run.info.run_name))


def test_every_trial_is_once_in_the_study_and_in_mlflow(finished: FinishedSearch) -> None:
    assert [trial.state for trial in finished.ledger.trials] == [TrialState.COMPLETE] * 3
    runs = children(finished, parent_run(finished), "trial")
    assert [run.info.run_id for run in runs] == [
        finished.ledger.trial_run(trial.number) for trial in finished.ledger.trials
    ]
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_params_of_a_trial_run_are_the_searched_values(finished: FinishedSearch) -> None:
    for run, trial in zip(children(finished, parent_run(finished), "trial"), finished.ledger.trials, strict=True):
        assert {key: float(value) for key, value in run.data.params.items()} == trial.params
        assert run.data.tags["seed"]
        assert run.data.tags["state"] == "complete"


def test_the_classifier_lists_its_training_and_test_tracks(finished: FinishedSearch) -> None:
    seen = versions.fetch(finished.server).classifier.seen
    assert seen is not None
    assert (set(seen.train), set(seen.test)) == (set(finished.ledger.split.train), set(finished.ledger.split.test))
    unseen = seen.unseen(finished.dataset.tracks, finished.dataset.levels)
    assert [track for track, new in zip(finished.dataset.tracks, unseen, strict=True) if not new] == sorted(seen.train)


def test_the_winners_repeats_calibrate_the_classifier(finished: FinishedSearch) -> None:
    candidate, dataset = finished.outcome.candidate, finished.dataset
    held_out = [
        checkpoint.validation_logits(max(place.folder.glob("epoch-*")), dataset.labels) for place in candidate.repeats
    ]
    logits, labels = (torch.cat(parts) for parts in zip(*held_out, strict=True))
    # The two folds partition the training tracks, and each of the two repeats validates on both folds.
    assert len(labels) == 2 * len(finished.ledger.split.train)
    classifier = versions.fetch(finished.server).classifier
    assert classifier.calibration == calibrate(logits, labels)
    assert classifier.origin["calibrated_on"] == len(labels)


def test_mlflow_and_optuna_hold_the_same_losses(finished: FinishedSearch) -> None:
    server = finished.server
    for trial in finished.ledger.trials:
        run_id = finished.ledger.trial_run(trial.number) or ""
        history = server.client.get_metric_history(run_id, "validation_loss")
        assert {metric.step: metric.value for metric in history} == trial.intermediate_values
        assert trial.value == min(trial.intermediate_values.values())
        assert set(server.client.get_run(run_id).data.metrics) == set(METRICS)


def test_the_objective_comes_first_in_mlflow(finished: FinishedSearch) -> None:
    run = children(finished, parent_run(finished), "trial")[0]
    assert min(run.data.metrics) == METRICS[0] == "best_validation_loss"


def test_finalists_are_trained_on_new_seeds_in_nested_runs(finished: FinishedSearch) -> None:
    [group] = children(finished, parent_run(finished), "finalists")
    finalists = children(finished, group.info.run_id, "finalist")
    assert len(finalists) == 2
    assert {run.info.status for run in finalists} == {"FINISHED"}
    winner = finished.outcome.candidate.finalists[0]
    assert winner.search_loss == finished.ledger.top(1)[0].value
    assert winner.search_loss not in winner.losses  # a different seed gives a different loss
    assert winner.losses[0] != winner.losses[1]


def test_runs_of_repeats_last_as_long_as_their_training(finished: FinishedSearch) -> None:
    [group] = children(finished, parent_run(finished), "finalists")
    client = finished.server.client
    for run in children(finished, group.info.run_id, "finalist"):
        seconds = sum(metric.value for metric in client.get_metric_history(run.info.run_id, "seconds"))
        assert run.info.end_time - run.info.start_time >= 1000 * seconds - 2  # times are in whole ms
        assert group.info.start_time <= run.info.start_time
        assert run.info.end_time <= group.info.end_time


def test_finalists_and_final_training_log_their_locations(finished: FinishedSearch) -> None:
    [group] = children(finished, parent_run(finished), "finalists")
    finalists = children(finished, group.info.run_id, "finalist")
    [final] = children(finished, parent_run(finished), "final")
    candidate = finished.outcome.candidate
    assert [run.data.tags[CHECKPOINT] for run in finalists] == [str(place) for place in candidate.repeats]
    assert final.data.tags[CHECKPOINT] == str(candidate.final.location)
    assert all(checkpoint.latest(Path(run.data.tags[CHECKPOINT])) for run in [*finalists, final])


def test_the_optimism_of_the_best_trial_is_logged_and_shown(finished: FinishedSearch) -> None:
    [best] = finished.outcome.candidate.finalists
    assert best.optimism == pytest.approx(sum(best.losses) / 2 - best.search_loss)
    assert (
        f"loss {best.loss:.3f} ± {best.spread:.3f} on new seeds, {best.search_loss:.3f} in the search"
        in finished.printed
    )
    client = finished.server.client
    assert float(client.get_run(parent_run(finished)).data.tags["optimism"]) == best.optimism
    table = pd.read_csv(client.download_artifacts(parent_run(finished), "finalists.csv"))
    assert table["trial"].tolist() == [best.number]
    assert table["optimism"][0] == pytest.approx(best.optimism)


def test_the_parent_run_has_the_data_and_the_split(finished: FinishedSearch) -> None:
    server = finished.server
    parent = server.client.get_run(parent_run(finished))
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["role"] == "search"
    assert parent.data.tags["data_digest"] == finished.dataset.digest
    path = server.client.download_artifacts(parent_run(finished), "split.json")
    assert splits.Split.from_json(Path(path).read_text()) == finished.ledger.split


def test_the_final_run_holds_the_evaluation(finished: FinishedSearch) -> None:
    [final] = children(finished, parent_run(finished), "final")
    assert final.info.status == "FINISHED"
    assert final.data.metrics["test_accuracy"] == finished.outcome.evaluation.accuracy
    assert int(final.data.tags["parameters"]) > 8_000
    server = finished.server
    assert {"confusion.png", "confusion.csv"} <= {file.path for file in server.client.list_artifacts(final.info.run_id)}


def test_three_synthetic_genres_are_learned(finished: FinishedSearch) -> None:
    assert finished.outcome.evaluation.tracks == 6
    assert finished.outcome.evaluation.accuracy > 1 / 3


def test_the_first_model_becomes_champion(finished: FinishedSearch) -> None:
    assert finished.outcome.champion.promote
    current = champion.find(finished.server)
    assert current is not None
    version, evidence = current
    assert evidence is not None
    assert version == finished.outcome.version
    assert evidence.test_accuracy == finished.outcome.evaluation.accuracy
    assert not evidence.synthetic  # the data set was loaded from a folder
    assert (evidence.test_tracks, evidence.genres) == (6, 3)
    assert (evidence.data, evidence.data_digest) == (finished.dataset.source, finished.dataset.digest)


def test_the_parent_run_has_the_reason_of_the_promotion(finished: FinishedSearch) -> None:
    parent = finished.server.client.get_run(parent_run(finished))
    assert parent.data.tags["promoted"] == "true"
    assert parent.data.tags["promotion_reason"] == finished.outcome.champion.reason
    assert parent.data.tags["model_version"] == str(finished.outcome.version)


def test_mlflow_users_load_the_champion_without_pickle(
    finished: FinishedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.storage.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/raygenre@champion")
    table = model.predict(pd.DataFrame({"file": [write_png(finished.dataset.levels[0])]}))
    own = versions.fetch(finished.server).classifier.probabilities(finished.dataset.levels[:1])[0]
    assert table[list(finished.dataset.genres)].to_numpy()[0] == pytest.approx(own, abs=1e-6)
    assert model.metadata.signature.inputs.input_names() == ["file"]
    assert model.metadata.signature.outputs.input_names() == [
        "genre",
        "confidence",
        "uncertain",
        *finished.dataset.genres,
    ]


def test_resuming_a_finished_study_changes_nothing(finished: FinishedSearch) -> None:
    before = finished.ledger.study.user_attrs
    again = tune.run(
        finished.ledger,
        finished.dataset,
        finished.server,
        resources=Resources(1, 0),
        promote=None,
        display=TextDisplay(),
    )
    assert again.version == finished.outcome.version
    assert again.champion.reason == "it is already the champion"
    after = finished.ledger.study.user_attrs
    assert after["time_used"] >= before["time_used"]  # rounded to 0.1 s
    assert after | {"time_used": before["time_used"]} == before
    assert len(children(finished, parent_run(finished), "trial")) == 3
    server = finished.server
    assert {run.info.status for run in server.client.search_runs([server.experiment_id])} == {"FINISHED"}


def test_a_pending_promotion_does_not_fail_the_search(
    finished: FinishedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promotion stays pending if a killed process left a lock that only an administrator may delete."""

    def stale(*arguments: object, **named: object) -> None:
        raise LockLostError("another process did not release the lock")

    monkeypatch.setattr(promotion_lock, "hold", stale)
    with pytest.raises(tune.PromotionPendingError, match=r"version 1 is registered, but .* did not release") as caught:
        tune.run(
            finished.ledger,
            finished.dataset,
            finished.server,
            resources=Resources(1, 0),
            promote=None,
            display=TextDisplay(),
        )
    assert caught.value.version == finished.outcome.version
    server = finished.server
    assert {run.info.status for run in server.client.search_runs([server.experiment_id])} == {"FINISHED"}


@pytest.mark.slow
def test_more_trials_can_bring_another_winner(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    """The first trial's learning rate is too low to learn anything, so one of the other trials is better."""
    storage = empty_storage(tmp_path)
    space = {"learning_rate": {"low": 1e-8, "high": 5e-3, "log": True}}
    starts = [{"learning_rate": 1e-8}]
    ledger = new_ledger(storage.studies.folder, tracks, trials=1, epochs=1, space=space, starts=starts)
    outcomes = []
    for trials in (1, 4):
        ledger.extend(trials)
        outcomes.append(
            tune.run(ledger, tracks, Server(storage), resources=Resources(1, 0), promote=None, display=TextDisplay())
        )
    first, second = outcomes
    assert first.candidate.winner.number == 0
    assert second.candidate.winner.number == ledger.top(1)[0].number > 0
    fetched = versions.fetch(Server(storage), f"models:/raygenre/{second.version}")
    assert ledger.top(1)[0].params.items() <= fetched.classifier.origin["setting"].items()
    assert second.version == first.version + 1
    assert "it is no better than chance" in first.champion.reason
    assert not first.champion.promote
    server = Server(storage)
    assert {run.info.status for run in server.client.search_runs([server.experiment_id])} == {"FINISHED"}
    parent = server.client.get_run(ledger.study.user_attrs[RUN])
    assert parent.data.metrics["test_accuracy"] == second.evaluation.accuracy
    tested = server.client.get_metric_history(parent.info.run_id, "test_accuracy")
    assert [metric.step for metric in tested] == [1, 4]
    assert parent.data.tags["trials"] == "4"


def test_a_search_without_a_complete_trial_ends(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    storage = empty_storage(tmp_path)
    ledger, text = new_ledger(storage.studies.folder, tracks), io.StringIO()
    for failure in ("KeyError: 'x'", "out of memory: Unable to allocate 9 TiB", "KeyError: 'x'"):
        number = ledger.start_trial(sampler("random", seed=0, trials=3), ledger.config.distributions).number
        ledger.finish(number, failure=failure)
    reason = r"no trial of the study study completed: KeyError: 'x' \(2\); out of memory"
    with pytest.raises(SearchFailedError, match=reason) as error:
        tune.run(ledger, tracks, Server(storage), resources=Resources(1, 0), promote=None, display=TextDisplay(text))
    assert "settings" not in text.getvalue()  # no repeats were started
    client = Server(storage).client
    run = client.get_run(ledger.study.user_attrs[RUN])
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", str(error.value))
    assert problem(ledger) == str(error.value)
    assert run.data.tags["mlflow.note.content"].startswith(f"**The search ended with an error**: {error.value}")
    trial_run = client.get_run(ledger.trial_run(0) or "")
    assert (trial_run.info.status, trial_run.data.tags["failure"]) == ("FAILED", "KeyError: 'x'")


def test_the_next_driver_ends_runs_of_a_killed_driver(tracks: Dataset, tmp_path: Path) -> None:
    """For example, an unfinished final training run is obsolete once further trials have led to a different winner."""
    storage = empty_storage(tmp_path)
    ledger = new_ledger(storage.studies.folder, tracks)
    killed = Tracker(Server(storage), ledger.folder, ledger.id)
    killed.start("final-0001-9", "final", parent=killed.start(ledger.name, "search"))
    assert killed.flush(60)
    killed.close()
    with tracking_session(ledger, Server(storage), TextDisplay()) as tracker:
        tracker.end(tracker.start(ledger.name, "search"), "FINISHED")
    server = Server(storage)
    statuses = {run.info.run_name: run.info.status for run in server.client.search_runs([server.experiment_id])}
    assert statuses == {ledger.name: "FINISHED", "final-0001-9": "KILLED"}


def test_nothing_from_trial_to_endpoint_is_pickled(finished: FinishedSearch) -> None:
    """The only pickles are files that Ray Tune writes for itself and that raygenre never reads."""
    kept = [path for path in finished.ledger.folder.rglob("*") if path.is_file()]
    pickled = [path for path in kept if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".bin")]
    assert all((finished.ledger.folder / "tune") in path.parents for path in pickled)
    artifacts = list((finished.storage.root / "artifacts").rglob("*"))
    assert not [path for path in artifacts if path.suffix in (".pkl", ".pickle", ".pt", ".pth")]
    about = json.loads(
        (finished.outcome.candidate.final.location.folder / "classifier" / "classifier.json").read_text()
    )
    assert about["genres"] == list(finished.dataset.genres)


def test_the_facts_say_what_guessing_would_reach(finished: FinishedSearch) -> None:
    current = champion.find(finished.server)
    assert current is not None
    assert current.facts is not None
    assert current.facts.test_guessing == current.facts.validation_guessing == pytest.approx(1 / 3)
    assert current.facts.validation_accuracy == finished.outcome.candidate.winner.accuracy
    assert current.facts.validation_tracks == len(finished.ledger.split.train)  # each track is in one of the two folds


def test_every_phase_shows_the_time_left_of_the_whole_search(finished: FinishedSearch) -> None:
    lines = finished.printed.splitlines()
    assert max(map(len, lines)) <= LINE_WIDTH
    starts = {line.split()[0]: line for line in lines if line.split()[1:2] == ["start"]}
    assert list(starts) == list(PHASES)
    assert all(re.search(r"about \d+ (s|min) left$", starts[phase]) for phase in PHASES[1:])
    trials = [line for line in lines if re.match(r"trial \d+ +done", line)]
    assert all(re.search(r" \d+ (s|min) ", line) for line in trials)
    assert not [line for line in trials if re.search(r" 0 s ", line)], "much time is left when the last trial ends"
