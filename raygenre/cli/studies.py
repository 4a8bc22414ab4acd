"""`raygenre studies`: submit searches that run in the background and share a cluster, and control them."""

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from raygenre.cli.console import fail, mlflow_errors, out
from raygenre.cli.options import StorageOption, TrackingUriOption
from raygenre.cli.studies_submit import AddressOption, StudyUrlOption, starter, submit
from raygenre.errors import RaygenreError, file_errors
from raygenre.search.duration import parse_duration
from raygenre.system.storage import Storage, resolve

if TYPE_CHECKING:
    from raygenre.studies.store import StudyStore
    from raygenre.studies.study import Study

NameArgument = Annotated[str, typer.Argument(help="Name of the study.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per study.")]
_FOLLOW = 1.0  # s between two looks at a log

studies = typer.Typer(
    help="Submit searches that run in the background and share a cluster, and control them.", no_args_is_help=True
)
studies.command()(submit)


@studies.command(name="list")
def list_studies(
    as_json: JsonOption = False,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """List the submitted studies, with their states, trials and usage."""
    from raygenre.cli.studies_tables import record, studies_table

    found = _store(storage_folder, study_url, tracking_uri).all()
    if as_json:
        for study in found:
            out.file.write(json.dumps(record(study)) + "\n")
    elif found:
        out.print(studies_table(found))
    else:
        out.print("no study has been submitted; `raygenre studies submit` submits one")


@studies.command()
def show(
    name: NameArgument,
    as_json: JsonOption = False,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Show a study: its state, its settings, the latest errors, and where to look at its trials."""
    from raygenre.cli.studies_tables import details, details_text

    study = _store(storage_folder, study_url, tracking_uri).get(name)
    if as_json:
        out.file.write(json.dumps(details(study, _link(study))) + "\n")
    else:
        out.print(details_text(study, _link(study) or "raygenre ui"), soft_wrap=True)


@studies.command()
def logs(
    name: NameArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the study has ended.")] = False,
    address: AddressOption = None,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Print what the driver of a study has printed: its progress, the results and errors."""
    from raygenre.studies.local_driver import log_file

    store = _store(storage_folder, study_url, tracking_uri)
    study = store.get(name)
    if place := address or study.address:
        from raygenre.studies.cluster_driver import ClusterJobs

        jobs = ClusterJobs(place)

    def read() -> str:
        if place:
            return jobs.logs(store.get(name).job)
        path = log_file(resolve(study.storage, tracking_uri), name)
        with file_errors("the log cannot be read"):
            return path.read_text(errors="replace") if path.exists() else ""

    printed = 0
    while True:
        has_ended = store.get(name).has_ended  # before reading, so that the last lines are printed
        text = read()
        out.print(text[printed:], end="", soft_wrap=True)
        printed = len(text)
        if not follow or has_ended:
            return
        time.sleep(_FOLLOW)


@studies.command()
def stop(
    name: NameArgument,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Stop a study after the epochs in progress. Everything is kept, and `resume` continues it."""
    store = _store(storage_folder, study_url, tracking_uri)
    if store.get(name).has_ended:
        fail(f"the study {name} is {store.get(name).state}")
    state = store.stop(name)
    out.print(f"{name} is {state}; `raygenre studies resume {name}` continues it", soft_wrap=True)


@studies.command()
def resume(
    name: NameArgument,
    trials: Annotated[int | None, typer.Option(help="New number of trials.", show_default=False)] = None,
    address: AddressOption = None,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Continue a study that was stopped or has failed, or one that is done with more trials."""
    storage = resolve(storage_folder, tracking_uri)
    store = _store(storage_folder, study_url, tracking_uri)
    _resume(store, name, storage, study_url, trials=trials, address=address)


@studies.command(name="set")
def set_wishes(
    name: Annotated[str | None, typer.Argument(help="Name of the study.", show_default=False)] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="New number of trials; continues a study that has ended.")
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(min=0, help="Maximum number of concurrent trials; 0: as many as fit.")
    ] = None,
    priority: Annotated[int | None, typer.Option(help="Priority among the studies of the cluster.")] = None,
    time_budget: Annotated[
        str | None, typer.Option(help="Time for the whole study, such as 90m or 2h; 0: no limit.")
    ] = None,
    user_limit: Annotated[
        int | None, typer.Option(min=0, help="Places that the studies of one person may use together.")
    ] = None,
    user: Annotated[str, typer.Option(help="Whose limit --user-limit is (default: everyone's).")] = "",
    no_user_limit: Annotated[bool, typer.Option("--no-user-limit", help="Remove the limit of --user.")] = False,
    address: AddressOption = None,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Change a study while it runs, or the limit of one person. A study follows within ten seconds.

    A trial over a lowered limit is paused after its epoch in progress, and continues later.
    """
    store = _store(storage_folder, study_url, tracking_uri)
    if user_limit is not None or no_user_limit:
        store.limit(user, None if no_user_limit else user_limit)
        out.print(f"{user or 'one person'} may use {'any number of' if no_user_limit else user_limit} places")
    wishes: dict[str, int | float | None] = {}
    if max_concurrent is not None:
        wishes["max_concurrent"] = max_concurrent or None
    if priority is not None:
        wishes["priority"] = priority
    if time_budget is not None:
        wishes["time_budget"] = parse_duration(time_budget, "--time-budget")
    if name is None:
        if wishes or trials is not None:
            fail("name the study whose settings are to be changed")
        if user_limit is None and not no_user_limit:
            fail("nothing to change: give a study and an option, or --user-limit")
        return
    study = store.get(name)
    if trials is not None and trials < study.total:
        fail(f"the study {name} has {study.total} trials; --trials can only raise it")
    if wishes:
        store.change(name, **wishes)
    if trials is not None and study.has_ended:
        _resume(store, name, resolve(storage_folder, tracking_uri), study_url, trials=trials, address=address)
        return
    if trials is not None:
        store.change(name, trials=trials)
    out.print(f"{name} was changed")


@studies.command()
def remove(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    runs: Annotated[bool, typer.Option("--runs", help="Also delete its runs in MLflow.")] = False,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Delete a study: its trials, training states and log. Its models, and without --runs its runs in MLflow, stay."""
    store = _store(storage_folder, study_url, tracking_uri)
    study = store.get(name)
    if not study.has_ended:
        fail(f"the study {name} is {study.state}; stop it first with `raygenre studies stop {name}`")
    also = " and its runs in MLflow" if runs else ""
    if not yes and not typer.confirm(f"Delete the study {name} in {study.storage}{also}?"):
        raise typer.Exit(1)
    storage = resolve(study.storage, tracking_uri)
    from raygenre.studies.removal import delete_study

    with mlflow_errors(storage), file_errors("the study cannot be deleted"):
        delete_study(storage, name, study_url, with_runs=runs)
    store.remove(name)
    out.print(f"{name} was deleted")


def _store(storage: str | None, study_url: str | None, tracking_uri: str | None) -> "StudyStore":
    from raygenre.studies.store import open_store  # only now, because it imports SQLAlchemy

    return open_store(storage, study_url, tracking_uri)


def _link(study: "Study") -> str:
    """Return the link to a study's trials on a tracking server; empty if there is none."""
    options = json.loads(study.request)["options"]
    storage = resolve(study.storage, options["tracking_uri"])
    if not study.study_id or storage.database:
        return ""
    from raygenre.tracking.retries import no_retries
    from raygenre.tracking.shared_view import view_url  # only now, because it imports MLflow

    with no_retries():
        return view_url(storage, study.study_id)


def _resume(
    store: "StudyStore",
    name: str,
    storage: Storage,
    study_url: str | None,
    *,
    trials: int | None,
    address: str | None,
) -> None:
    from raygenre.studies.request import Request

    study = store.get(name)
    place = (address or study.address) if study.address else ""
    start = starter(place, store, storage, study_url, Request.from_json(study.request))
    if trials is not None:
        store.change(name, trials=trials)
    attempt = store.restart(name)
    try:
        start(name)
    except RaygenreError as error:
        store.end(name, attempt, "failed", error=str(error))
        raise
    out.print(f"{name} continues; `raygenre studies logs {name} --follow` shows its progress", soft_wrap=True)
