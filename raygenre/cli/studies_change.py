"""`raygenre studies stop`, `resume`, `set` and `remove`."""

from typing import TYPE_CHECKING, Annotated

import typer

from raygenre.cli.console import fail, mlflow_errors, out
from raygenre.cli.options import StorageOption, TrackingUriOption
from raygenre.cli.studies_options import AddressOption, NameArgument, StudyUrlOption, storage_of, store_of
from raygenre.cli.studies_submit import starter
from raygenre.errors import RaygenreError, file_errors
from raygenre.search.duration import parse_duration

if TYPE_CHECKING:
    from raygenre.studies.store import StudyStore

_AFTER_TRIALS = ("repeats", "final", "closing")  # phases in which a search starts no more trials


def stop(
    name: NameArgument,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Stop a study after its current epochs. Everything is kept; continue it with `resume`."""
    store = store_of(storage_folder, study_url, tracking_uri)
    if store.get(name).has_ended:
        fail(f"the study {name} is {store.get(name).state}")
    state = store.stop(name)
    out.print(f"{name} is {state}; resume it with `raygenre studies resume {name}`", soft_wrap=True)


def resume(
    name: NameArgument,
    trials: Annotated[int | None, typer.Option(help="New number of trials.", show_default=False)] = None,
    address: AddressOption = None,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Continue a study that was stopped or failed, or add trials to one that is done."""
    store = store_of(storage_folder, study_url, tracking_uri)
    _resume(store, name, study_url, tracking_uri, trials=trials, address=address)


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
        int | None, typer.Option(min=0, help="Maximum number of places for all studies of one user.")
    ] = None,
    user: Annotated[str, typer.Option(help="User to whom --user-limit applies (default: every user).")] = "",
    no_user_limit: Annotated[bool, typer.Option("--no-user-limit", help="Remove the limit of --user.")] = False,
    address: AddressOption = None,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Change the settings of a running study, or a user's limit. Changes take effect within ten seconds.

    Trials in excess of a lowered limit are paused after their current epoch and continue later.
    """
    store = store_of(storage_folder, study_url, tracking_uri)
    if user_limit is not None or no_user_limit:
        store.limit(user, None if no_user_limit else user_limit)
        out.print(f"{user or 'every user'} may use {'any number of' if no_user_limit else user_limit} places")
    wishes: dict[str, int | float | None] = {}
    if max_concurrent is not None:
        wishes["max_concurrent"] = max_concurrent or None
    if priority is not None:
        wishes["priority"] = priority
    if time_budget is not None:
        wishes["time_budget"] = parse_duration(time_budget, "--time-budget")
    if name is None:
        if wishes or trials is not None:
            fail("specify the study whose settings you want to change")
        if user_limit is None and not no_user_limit:
            fail("nothing to change: specify a study and an option, or --user-limit")
        return
    study = store.get(name)
    if trials is not None and trials < study.total:
        fail(f"the study {name} has {study.total} trials; --trials can only increase it")
    if wishes:
        store.change(name, **wishes)
    if trials is not None and study.has_ended:
        _resume(store, name, study_url, tracking_uri, trials=trials, address=address)
        return
    if trials is not None:
        store.change(name, trials=trials)
    out.print(f"{name} was changed")
    if study.phase in _AFTER_TRIALS and not study.has_ended and (trials is not None or time_budget is not None):
        out.print(
            "its trials have ended, so --trials and --time-budget take effect only if you resume it with `raygenre "
            f"studies resume {name}` once it is done",
            soft_wrap=True,
        )


def remove(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    runs: Annotated[bool, typer.Option("--runs", help="Also delete its runs in MLflow.")] = False,
    study_url: StudyUrlOption = None,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Delete a study: its trials, training states and log. Its models and, without --runs, its MLflow runs are kept."""
    store = store_of(storage_folder, study_url, tracking_uri)
    study = store.get(name)
    if not study.has_ended:
        fail(f"the study {name} is {study.state}; stop it first with `raygenre studies stop {name}`")
    also = " and its runs in MLflow" if runs else ""
    if not yes and not typer.confirm(f"Delete the study {name} in {study.storage}{also}?"):
        raise typer.Exit(1)
    storage = storage_of(study, tracking_uri)
    from raygenre.studies.removal import delete_study
    from raygenre.tracking.server import Server

    with mlflow_errors(storage), file_errors("the study cannot be deleted"):
        delete_study(Server(storage), name, study_url, with_runs=runs)
    store.remove(name)
    out.print(f"{name} was deleted")


def _resume(
    store: "StudyStore",
    name: str,
    study_url: str | None,
    tracking_uri: str | None,
    *,
    trials: int | None,
    address: str | None,
) -> None:
    from raygenre.studies.request import Request

    study = store.get(name)
    place = (address or study.address) if study.address else ""
    start = starter(place, store, storage_of(study, tracking_uri), study_url, Request.from_json(study.request))
    attempt = store.restart(name)
    try:
        store.change(name, address=place, **({} if trials is None else {"trials": trials}))
        start(name)
    except RaygenreError as error:
        store.end(name, attempt, "failed", error=str(error))
        raise
    out.print(f"{name} continues; `raygenre studies logs {name} --follow` shows its progress", soft_wrap=True)
