"""`raygenre rollback`: make the previous champion the champion again."""

from raygenre.cli.checks import require_runs
from raygenre.cli.console import mlflow_errors, out
from raygenre.cli.options import StorageOption, TrackingUriOption
from raygenre.errors import file_errors


def rollback(
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Make the previous champion the champion again; running endpoints load it within 30 s."""
    from raygenre.registry.versions import MODEL
    from raygenre.system.storage import resolve

    storage = resolve(storage_folder, tracking_uri)
    require_runs(storage)

    from raygenre.registry import champion  # imported here because it loads MLflow
    from raygenre.tracking.server import Server

    with mlflow_errors(storage), file_errors("the champion could not be changed"):
        replaced, restored = champion.rollback(Server(storage))
    out.print(f"{MODEL} version {restored} is the champion again and replaces version {replaced}", highlight=False)
