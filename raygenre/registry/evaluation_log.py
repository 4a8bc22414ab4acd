"""Logs each evaluation to MLflow as a new run, and attaches reports to versions."""

import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mlflow.entities import Metric, Param

from raygenre.evaluation import plots, tables
from raygenre.evaluation.evaluate import EvaluationReport
from raygenre.evaluation.html_report import REPORT_FILE
from raygenre.evaluation.model_card import markdown_card
from raygenre.registry.versions import Fetched
from raygenre.tracking.retries import no_retries
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import TrackingError

JSON_FILE = "evaluation.json"
_MAX_DESCRIPTION = 5000  # maximum length of a version's description if MLflow uses PostgreSQL


def log_evaluation(
    server: Server, fetched: Fetched, report: EvaluationReport, page: str, *, options: Mapping[str, str]
) -> str:
    """Log an evaluation and its HTML page to a new run, and return the run's id.

    Args:
        options: options of the evaluation, which become the run's params.

    Raises:
        TrackingError, OSError: MLflow is unreachable, or rejects the request.
    """
    with no_retries():
        run_id = _new_run(server, fetched, report)
        try:
            _log(server, run_id, report, page, options)
        except BaseException:
            with suppress(TrackingError, OSError):  # the run stays RUNNING if this request fails too
                server.client.set_terminated(run_id, "FAILED")
            raise
        server.client.set_terminated(run_id, "FINISHED")
    return run_id


def attach_report(server: Server, fetched: Fetched, page: str) -> None:
    """Add the HTML report to a registered version.

    The report becomes an artifact of the run that trained the version, and of the version's logged model. The version's
    description becomes the model card with a link to the report.

    Raises:
        TrackingError, OSError: MLflow is unreachable, or rejects the request.
    """
    client = server.client
    name, version = fetched.name.split("/")
    source = client.get_model_version(name, version).source
    run = client.get_run(fetched.run_id)
    description = markdown_card(fetched.classifier, name=fetched.name, facts=fetched.facts)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / REPORT_FILE
        path.write_text(page, encoding="utf-8")
        client.log_artifact(fetched.run_id, str(path))
        # A version does not name its logged model, and a resumed run may have two, so the locations are compared.
        for output in run.outputs.model_outputs if run.outputs else []:
            if client.get_logged_model(output.model_id).artifact_location == source:
                client.log_model_artifact(output.model_id, str(path))
                link = f"#/experiments/{run.info.experiment_id}/models/{output.model_id}/artifacts"
                description = f"[Evaluation: {REPORT_FILE} among the artifacts]({link})\n\n{description}"
    if len(description) > _MAX_DESCRIPTION:  # possible for a model with many genres
        description = f"{description[: _MAX_DESCRIPTION - 100]} …\n\nSee {REPORT_FILE} for the rest."
    client.update_model_version(name, version, description=description)


def _log(server: Server, run_id: str, report: EvaluationReport, page: str, options: Mapping[str, str]) -> None:
    """Log the options, the metrics, the figures and the page."""
    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in report.mlflow_metrics().items()]
    server.client.log_batch(run_id, metrics=metrics, params=[Param(name, value) for name, value in options.items()])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        plots.confusion_figure(report.evaluation).savefig(folder / "confusion.png")
        plots.reliability_figure(report.evaluation).savefig(folder / "reliability.png")
        (folder / "confusion.csv").write_text(tables.confusion_csv(report.evaluation), encoding="utf-8")
        (folder / JSON_FILE).write_text(tables.report_json(report), encoding="utf-8")
        (folder / REPORT_FILE).write_text(page, encoding="utf-8")
        server.client.log_artifacts(run_id, scratch)


def _new_run(server: Server, fetched: Fetched, report: EvaluationReport) -> str:
    tags = {
        "role": "evaluation",
        "model": fetched.name,
        "model_run": fetched.run_id,
        "sha256": fetched.classifier.sha256,
        "data": report.source,
        "data_digest": report.digest,
        "side": report.side,
        "tracks": str(report.evaluation.tracks),
    }
    run = server.client.create_run(server.experiment_id, run_name=f"evaluation of {fetched.name}", tags=tags)
    return str(run.info.run_id)
