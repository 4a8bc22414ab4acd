"""Read the result of a finished search, as a row of the accuracy table."""

import csv
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from raygenre.errors import RaygenreError
from raygenre.registry import versions
from raygenre.registry.evaluation_log import JSON_FILE
from raygenre.search.space.space import Setting
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.time_used import TimeUsed
from raygenre.search.summary.figures import importances
from raygenre.search.summary.search_run import FINALISTS
from raygenre.tracking.server import Server

PARENT = "mlflow.parentRunId"


class UnfinishedSearchError(RaygenreError, ValueError):
    """A search has not registered a model yet."""


def search_result(server: Server, ledger: Ledger) -> tuple[Setting, dict[str, Any]]:
    """Return the setting that won a search, and the search's result with the evaluation of its final model.

    Raises:
        UnfinishedSearchError: the search has not registered a model.
        TrackingError: MLflow is unreachable.
    """
    version = next(
        (one for one in versions.list_versions(server) if one.facts and one.facts.study == ledger.name), None
    )
    if version is None:
        raise UnfinishedSearchError(f"study {ledger.name} has no registered model; finish it with --resume")
    final = server.client.get_run(version.run_id)
    search = server.client.get_run(final.data.tags[PARENT])
    with _artifact(server, final.info.run_id, JSON_FILE) as path:
        evaluation = json.loads(path.read_text())
    with _artifact(server, search.info.run_id, FINALISTS) as path, path.open() as file:
        finalists = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    tags, searched = search.data.tags, ledger.config.distributions
    settings = [asdict(ledger.setting(int(row["trial"]))) for row in finalists]
    return Setting(**settings[0]), {
        "date": date.fromtimestamp(search.info.start_time / 1000).isoformat(),
        "commit": tags.get("mlflow.source.git.commit", ""),
        "processor": tags.get("hardware.cpu", ""),
        "precision": final.data.tags.get("precision", ""),
        "train_tracks": int(tags["train_tracks"]),
        "tracks": evaluation["tracks"],
        "hits": sum(row[index] for index, row in enumerate(evaluation["confusion"])),
        "recall": {genre: scores["recall"] for genre, scores in evaluation["genres"].items()},
        "confusion": evaluation["confusion"],
        "trials": dict(Counter(trial.state.name.lower() for trial in ledger.trials)),
        "hours": round(TimeUsed(ledger).seconds / 3600, 2),
        "finalists": [
            row | {name: setting[name] for name in searched} for row, setting in zip(finalists, settings, strict=True)
        ],
        "importances": {name: round(share, 3) for name, share in importances(ledger).items()},
    }


@contextmanager
def _artifact(server: Server, run_id: str, name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(server.client.download_artifacts(run_id, name, folder))
