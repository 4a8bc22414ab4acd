"""The MLflow runs of one study."""

from raygenre.tracking.mlflow_writer import KEY
from raygenre.tracking.server import Server

_PAGE = 1000  # runs per request


def delete_runs(server: Server, study_id: str) -> int:
    """Mark all runs of a study as deleted, and return their number; `mlflow gc` removes them and their artifacts.

    Raises:
        TrackingError: MLflow is unreachable or refuses the request.
    """
    if not server.storage.has_runs:
        return 0
    number = 0
    own = f"tags.`{KEY}` LIKE '{study_id}/%'"
    while runs := server.client.search_runs([server.experiment_id], own, max_results=_PAGE):
        for run in runs:
            server.client.delete_run(run.info.run_id)
        number += len(runs)
    return number
