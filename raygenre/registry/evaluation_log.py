"""What an evaluation leaves in MLflow: numbers, figures and the report, with the model that it is about."""

import tempfile
import time
from contextlib import suppress
from pathlib import Path

from mlflow.entities import Metric

from raygenre.evaluation import html_report, model_card, plots, tables
from raygenre.evaluation.evaluate import EvaluationReport
from raygenre.registry.versions import Fetched
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server, TrackingError, no_retries

NUMBERS = "evaluation.json"
_LONGEST = 5000  # characters of a version's description, which PostgreSQL holds MLflow to


def log_evaluation(storage: Storage, fetched: Fetched, appraisal: EvaluationReport, page: str) -> str:
    """Log an appraisal and its page, and return the run.

    An evaluation on the model's own test tracks goes into the run that made the model; any other gets a run of its
    own, whose tags name the model and the data.

    Raises:
        TrackingError, OSError: MLflow is away, or refuses.
    """
    server = Server(storage)
    with no_retries():
        own = appraisal.own_test and bool(fetched.run_id)
        run_id = fetched.run_id if own else _new_run(server, fetched, appraisal)
        try:
            _log(server, run_id, appraisal, "" if own else page)
        except BaseException:
            if not own:
                with suppress(TrackingError, OSError):  # away for this too: the run says RUNNING then
                    server.client.set_terminated(run_id, "FAILED")
            raise
        if own:
            attach_report(storage, fetched, page)
        else:
            server.client.set_terminated(run_id, "FINISHED")
    return run_id


def attach_report(storage: Storage, fetched: Fetched, page: str) -> None:
    """Put the report into the run that made a registered version and beside the version's files, and the card, with a
    link to it, into the version's description.

    Raises:
        TrackingError, OSError: MLflow is away, or refuses.
    """
    client = Server(storage).client
    name, version = fetched.name.split("/")
    source = client.get_model_version(name, version).source
    run = client.get_run(fetched.run_id)
    text = model_card.card(fetched.classifier, name=fetched.name, evidence=fetched.evidence)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / html_report.NAME
        path.write_text(page, encoding="utf-8")
        client.log_artifact(fetched.run_id, str(path))
        # A version does not name its logged model, which a run may have two of: one from before its driver died.
        for output in run.outputs.model_outputs if run.outputs else []:
            if client.get_logged_model(output.model_id).artifact_location == source:
                client.log_model_artifact(output.model_id, str(path))
                link = f"#/experiments/{run.info.experiment_id}/models/{output.model_id}/artifacts"
                text = f"[Evaluation: {html_report.NAME} among the artifacts]({link})\n\n{text}"
    if len(text) > _LONGEST:  # a card of many genres
        text = f"{text[: _LONGEST - 100]} …\n\n{html_report.NAME} has the rest."
    client.update_model_version(name, version, description=text)


def _log(server: Server, run_id: str, appraisal: EvaluationReport, page: str) -> None:
    """Log numbers, figures and, if there is one, the page."""
    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in appraisal.numbers().items()]
    server.client.log_batch(run_id, metrics=metrics)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        plots.confusion_figure(appraisal.evaluation).savefig(folder / "confusion.png")
        plots.reliability_figure(appraisal.evaluation).savefig(folder / "reliability.png")
        (folder / "confusion.csv").write_text(tables.confusion_csv(appraisal.evaluation), encoding="utf-8")
        (folder / NUMBERS).write_text(tables.appraisal_json(appraisal), encoding="utf-8")
        if page:
            (folder / html_report.NAME).write_text(page, encoding="utf-8")
        server.client.log_artifacts(run_id, scratch)


def _new_run(server: Server, fetched: Fetched, appraisal: EvaluationReport) -> str:
    tags = {
        "role": "evaluation",
        "model": fetched.name,
        "model_run": fetched.run_id,
        "sha256": fetched.classifier.sha256,
        "data": appraisal.source,
        "data_digest": appraisal.digest,
        "side": appraisal.side,
        "tracks": str(appraisal.evaluation.tracks),
    }
    run = server.client.create_run(server.experiment_id, run_name=f"evaluation of {fetched.name}", tags=tags)
    return str(run.info.run_id)
