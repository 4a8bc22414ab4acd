"""`raygenre studies list`, `show` and `logs`."""

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from raygenre.cli.console import out
from raygenre.cli.options import StorageOption, TrackingUriOption
from raygenre.cli.studies_options import AddressOption, NameArgument, StudyUrlOption, storage_of, store_of
from raygenre.errors import file_errors

if TYPE_CHECKING:
    from raygenre.studies.study import Study

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per study.")]
_FOLLOW = 1.0  # seconds between two polls of a log


def list_studies(
    as_json: JsonOption = False,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """List the submitted studies, with their states, trials and usage."""
    from raygenre.cli.studies_tables import record, studies_table

    found = store_of(storage_folder, study_url, tracking_uri).all()
    if as_json:
        for study in found:
            out.file.write(json.dumps(record(study)) + "\n")
    elif found:
        out.print(studies_table(found))
    else:
        out.print("no studies have been submitted; submit one with `raygenre studies submit`")


def show(
    name: NameArgument,
    as_json: JsonOption = False,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Show a study: its state, its settings, the latest errors, and where to view its trials."""
    from raygenre.cli.studies_tables import details, details_text

    study = store_of(storage_folder, study_url, tracking_uri).get(name)
    if as_json:
        out.file.write(json.dumps(details(study, _link(study))) + "\n")
    else:
        out.print(details_text(study, _link(study) or "raygenre ui"), soft_wrap=True)


def logs(
    name: NameArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the study has ended.")] = False,
    address: AddressOption = None,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Print the log of a study's driver: its progress, results and errors."""
    from raygenre.studies.local_driver import log_file

    store = store_of(storage_folder, study_url, tracking_uri)
    study = store.get(name)
    if place := study.address and (address or study.address):
        from raygenre.studies.cluster_driver import ClusterJobs

        jobs = ClusterJobs(place)

    def read() -> str:
        if place:
            return jobs.logs(store.get(name).job).expandtabs()
        path = log_file(storage_of(study, tracking_uri), name)
        with file_errors("the log cannot be read"):
            return path.read_text(errors="replace") if path.exists() else ""

    printed = 0
    while True:
        has_ended = store.get(name).has_ended  # checked before reading, so that the last lines are printed
        text = read()
        out.print(text[printed:], end="", soft_wrap=True)
        printed = len(text)
        if not follow or has_ended:
            return
        time.sleep(_FOLLOW)


def _link(study: "Study") -> str:
    """Return the link to a study's trials on a tracking server, or "" if they are not on a server."""
    storage = storage_of(study)
    if not study.study_id or storage.database:
        return ""
    from raygenre.tracking.server import Server
    from raygenre.tracking.shared_view import view_url  # imported here because it loads MLflow

    return view_url(Server(storage), study.study_id)
