"""Options that several commands share, declared once."""

from typing import Annotated

import typer

StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        help="Folder, or URL such as s3://BUCKET/PATH, for studies, runs and models "
        "(default: $RAYGENRE_STORAGE, else ./results).",
        show_default=False,
    ),
]
TrackingUriOption = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        help="MLflow server to use instead of the embedded SQLite database (default: $MLFLOW_TRACKING_URI).",
        show_default=False,
    ),
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="List each file that is left out because it is not music.")
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        help="models:/NAME@ALIAS, models:/NAME/VERSION or a classifier's folder (default: the champion).",
        show_default=False,
    ),
]
CacheOption = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Read and store predictions in the storage's cache.")
]
ClusterOption = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Work on the Ray cluster at this address (auto: this machine's), or with Ray on this machine (local).",
        show_default=False,
    ),
]
