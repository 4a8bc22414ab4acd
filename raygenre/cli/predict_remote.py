"""The part of `raygenre predict` that requests predictions from an endpoint."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from raygenre.cli.predict_run import ModelInUse, report_predictions
from raygenre.errors import RaygenreError

if TYPE_CHECKING:
    from raygenre.workflows.sources import Sources

KEY_VARIABLE = "RAYGENRE_API_KEY"  # not an option, because other users of the machine can see a process's options
_AT_ONCE = 4  # concurrent requests; one replica decodes two files at a time


class ApiKeyError(RaygenreError):
    """The endpoint requires an API key, or rejected the key that was sent."""


def predict_remote(
    files: "Sources", url: str, *, at_once: int, as_json: bool, output: Path | None, playlists: Path | None
) -> None:
    """Send songs to an endpoint, and report the results in the same way as local predictions.

    Args:
        at_once: number of concurrent requests; 0 to choose it automatically.

    Raises:
        RaygenreError: the endpoint is unreachable or does not describe its model, or a file cannot be written.
        typer.Exit: with status 1 if a file failed, and with status 130 after Ctrl-C.
    """
    from raygenre.client import Client, RefusedError, Retries
    from raygenre.evaluation.training_data import TrainingData
    from raygenre.workflows.playlists import check_playlists
    from raygenre.workflows.predict_remote import predict_remotely

    key = os.environ.get(KEY_VARIABLE, "")
    try:
        with Client(url, api_key=key, retries=Retries(attempts=3, first_wait=0.2)) as client:
            facts = client.model()  # requested first, so that a wrong address or key is reported immediately
    except RefusedError as error:
        if error.status != 401:
            raise
        raise ApiKeyError(f"{url} requires a valid API key; set {KEY_VARIABLE} to one of its keys") from error
    if playlists:
        check_playlists(playlists, facts.genres)
    with Client(url, api_key=key) as client:
        report_predictions(
            files,
            predict_remotely(client, files.songs, facts, at_once=at_once or _AT_ONCE),
            ModelInUse(str(facts.model), facts.genres, TrainingData(facts.trained_on.kind, facts.trained_on.name)),
            as_json=as_json,
            output=output,
            playlists=playlists,
            resumes=False,
        )
