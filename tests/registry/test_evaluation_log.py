"""An evaluation is logged to a real MLflow database."""

from dataclasses import replace
from pathlib import Path

import pytest

from raygenre.evaluation.evaluate import EvaluationReport, evaluate_classifier
from raygenre.evaluation.slices import TrackFacts
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry import evaluation_log, versions
from raygenre.tracking.server import Server
from tests.conftest import FinishedSearch


def report_of(finished: FinishedSearch, *, own: bool) -> EvaluationReport:
    classifier = versions.fetch(finished.server).classifier
    return evaluate_classifier(classifier, finished.dataset, "test" if own else "all", TrackFacts())


def artifacts(server: Server, run_id: str) -> set[str]:
    return {file.path for file in server.client.list_artifacts(run_id)}


def test_a_search_attaches_the_report_to_its_version(finished: FinishedSearch) -> None:
    server = finished.server
    version = server.client.get_model_version("raygenre", str(finished.outcome.version))
    run = server.client.get_run(str(version.run_id))
    assert artifacts(server, run.info.run_id) >= {"report.html", "reliability.png", "confusion.png", "confusion.csv"}
    assert "# raygenre/1" in str(version.description)
    assert run.outputs is not None
    [output] = run.outputs.model_outputs
    assert f"#/experiments/{run.info.experiment_id}/models/{output.model_id}/artifacts" in str(version.description)
    folder = server.client.get_logged_model(output.model_id).artifact_location
    page = Path(folder.removeprefix("file://")) / "report.html"
    assert "<h1>raygenre/1</h1>" in page.read_text()
    assert run.data.metrics["test_macro_f1"] == finished.outcome.evaluation.macro_f1


def test_each_evaluation_is_a_run_with_its_options(finished: FinishedSearch) -> None:
    fetched = versions.fetch(finished.server)
    server = finished.server
    before, files = server.client.get_run(fetched.run_id).data, artifacts(server, fetched.run_id)
    plain, listed = {"split": "test"}, {"split": "test", "faults": "faults.txt"}
    run_ids = [
        evaluation_log.log_evaluation(
            finished.server, fetched, report_of(finished, own=True), f"<p>{options}</p>", options=options
        )
        for options in (plain, listed, listed)
    ]
    assert len({*run_ids, fetched.run_id}) == 4
    for run_id, options in zip(run_ids, (plain, listed, listed), strict=True):
        run = server.client.get_run(run_id)
        assert run.info.status == "FINISHED"
        assert run.data.params == options
        assert run.data.metrics["test_accuracy"] == finished.outcome.evaluation.accuracy
        assert Path(server.client.download_artifacts(run_id, "report.html")).read_text() == f"<p>{options}</p>"
    assert server.client.get_run(fetched.run_id).data.metrics == before.metrics
    assert artifacts(server, fetched.run_id) == files


def test_other_tracks_are_logged_to_a_run_of_their_own(finished: FinishedSearch) -> None:
    fetched = versions.fetch(finished.server)
    report = report_of(finished, own=False)
    before = artifacts(finished.server, fetched.run_id)
    run_id = evaluation_log.log_evaluation(finished.server, fetched, report, "<p>all</p>", options={})
    assert run_id != fetched.run_id
    server = finished.server
    run = server.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert {name: run.data.tags[name] for name in ("role", "model", "model_run", "sha256", "data_digest", "side")} == {
        "role": "evaluation",
        "model": fetched.name,
        "model_run": fetched.run_id,
        "sha256": fetched.classifier.sha256,
        "data_digest": finished.dataset.digest,
        "side": "all",
    }
    assert run.data.metrics["all_accuracy"] == pytest.approx(report.evaluation.accuracy)
    slices = {name: part.accuracy for name, part in report.slices}
    assert run.data.metrics["all_slice/not_trained_on/accuracy"] == slices["not trained on"]
    assert "all_accuracy" not in server.client.get_run(fetched.run_id).data.metrics
    names = {"report.html", "reliability.png", "confusion.png", "confusion.csv", "evaluation.json"}
    assert artifacts(server, run_id) == names
    assert artifacts(server, fetched.run_id) == before


def test_a_model_from_a_folder_is_logged_to_a_new_run(finished: FinishedSearch) -> None:
    fetched = versions.fetch(finished.server, str(finished.outcome.candidate.final.location.folder / "classifier"))
    run_id = evaluation_log.log_evaluation(finished.server, fetched, report_of(finished, own=True), "", options={})
    assert finished.server.client.get_run(run_id).data.tags["model"] == "classifier"


def test_a_card_of_many_genres_fits_into_a_description(finished: FinishedSearch) -> None:
    """MLflow limits descriptions to 5000 characters on PostgreSQL, but not on SQLite."""
    fetched = versions.fetch(finished.server)
    client = finished.server.client
    name, version = fetched.name.split("/")
    before = client.get_model_version(name, version).description
    genres = tuple(f"a genre of music, number {number}" for number in range(200))
    many = Classifier(GenreCNN(ModelConfig(genres=len(genres), widths=(4, 4, 4))), genres)
    evaluation_log.attach_report(finished.server, replace(fetched, classifier=many), "<p>many</p>")
    text = str(client.get_model_version(name, version).description)
    client.update_model_version(name, version, description=before)
    assert 4000 < len(text) <= 5000
    assert text.startswith("[Evaluation: report.html")
    assert text.endswith("See report.html for the rest.")
