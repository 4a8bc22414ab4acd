"""`raygenre studies submit`: start a driver on this machine or on a Ray cluster."""

import getpass
import inspect
import os
import time
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raygenre.cli.checks import check_search
from raygenre.cli.console import out
from raygenre.cli.studies_options import AddressOption, StudyUrlOption
from raygenre.cli.tune import tune
from raygenre.errors import RaygenreError, file_errors
from raygenre.search.options import Options
from raygenre.search.study.names import StudyError
from raygenre.system.storage import Storage, resolve

if TYPE_CHECKING:
    from raygenre.studies.request import Request
    from raygenre.studies.store import StudyStore

_NOT_SUBMITTED = ("context", "resume")  # parameters of `tune` that `submit` does not accept
_POLL = 0.5  # s


def _with_options_of_tune(command: Callable[..., None]) -> Callable[..., None]:
    """Add all options of `tune` to a command, as keyword arguments, unless the command declares them itself."""
    own = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
    names = {*_NOT_SUBMITTED, *(parameter.name for parameter in own)}
    inherited = [p for name, p in inspect.signature(tune).parameters.items() if name not in names]
    parameters = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in (*own, *inherited)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


@_with_options_of_tune
def submit(
    context: typer.Context,
    address: AddressOption = None,
    study_url: StudyUrlOption = None,
    priority: Annotated[
        int, typer.Option(help="Studies with a higher priority get all places that they can use first.")
    ] = 0,
    owner: Annotated[
        str | None, typer.Option("--user", help="User who submits it (default: your login name).", show_default=False)
    ] = None,
    image_code: Annotated[
        bool,
        typer.Option("--image-code", help="Use the raygenre installed on the cluster instead of sending this one."),
    ] = False,
    environment: Annotated[
        list[str],
        typer.Option("--env", help="Variable to pass to the study, such as AWS_ACCESS_KEY_ID; repeatable."),
    ] = [],  # noqa: B006
    **values: Any,
) -> None:
    """Submit a search that runs in the background, as a job on a Ray cluster or as a process on this machine.

    Accepts all options of `raygenre tune`. Studies on one cluster share it by priority, and then equally.
    """
    options = _options(context, values | {"address": address, "study_url": study_url})
    name = options.study or datetime.now().strftime("study-%Y%m%d-%H%M%S")
    options, storage = _checked(replace(options, study=name))
    from raygenre.studies.request import Request
    from raygenre.studies.store import open_store

    # The limit can be changed while the study runs, so it is stored with the study's changeable settings.
    request = Request.of(
        replace(options, max_concurrent=0), with_files=bool(address), ship=not image_code, variables=tuple(environment)
    )
    store = open_store(str(storage), study_url, storage.tracking_uri)
    wishes = {"priority": priority, "max_concurrent": options.max_concurrent or None}
    start = starter(address, store, storage, study_url, request)  # connects to the cluster before anything is created
    store.create(
        name,
        owner=owner or getpass.getuser(),
        request=request.to_json(),
        storage=str(storage),
        address=address or "",
        wishes=wishes,
    )
    try:
        start(name)
    except RaygenreError:
        store.end(name, 1, "failed")
        store.remove(name)
        raise
    out.print(f"{name} was submitted{f' to {address}' if address else ''}. Next:", soft_wrap=True)
    out.print("  raygenre studies list\n" + f"  raygenre studies logs {name} --follow")


def starter(
    address: str | None, store: "StudyStore", storage: Storage, study_url: str | None, request: "Request"
) -> Callable[[str], None]:
    """Return a function that starts a driver for a queued study.

    On a cluster, the function waits until the driver has reported its start.

    Raises:
        ClusterJobsError: the cluster does not respond or rejects the token; the returned function also raises this
            error if the driver's job ends before reporting its start.
    """
    variables = {name: os.environ[name] for name in request.variables if name in os.environ}
    variables |= {"RAYGENRE_STORAGE": str(storage)} | ({"RAYGENRE_STUDY_URL": study_url} if study_url else {})
    if not address:

        def start_here(name: str) -> None:
            from raygenre.studies.local_driver import start_driver

            study = store.get(name)
            store.note_job(name, study.attempt, start_driver(study, storage, variables))

        return start_here
    from raygenre.studies.cluster_driver import ClusterJobs, wait_until_started

    jobs = ClusterJobs(address)

    def start_there(name: str) -> None:
        study = store.get(name)
        with out.status(f"sending {name} to {address}"):
            job = jobs.start_driver(study, variables, ship=request.ship)
            store.note_job(name, study.attempt, job)
            wait_until_started(jobs, job, lambda: bool(store.get(name).scope), lambda: time.sleep(_POLL))

    return start_there


def _options(context: typer.Context, values: dict[str, Any]) -> Options:
    """Return the options as `tune` would receive them."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = frozenset(name for name, source in sources.items() if source and source.name == "COMMANDLINE")
    names = {field.name for field in fields(Options)} & values.keys()
    plain: dict[str, Any] = {
        name: tuple(values[name]) if isinstance(values[name], list) else values[name] for name in names
    }
    return Options(**plain, given=given)


def _checked(options: Options) -> tuple[Options, Storage]:
    """Check the options as far as this machine can, and add defaults from its environment."""
    # A cluster uses its own paths, and its Ray folder has already been chosen.
    check_search(replace(options, data=None) if options.address else options)
    storage = resolve(options.storage, options.tracking_uri)
    with file_errors(f"the storage {storage} cannot be used"):
        storage.studies.check_access()
        if options.study in storage.studies.names():
            raise StudyError(
                f"the study {options.study} already exists in {storage.studies}; choose another name with --study"
            )
    data = options.data or (Path(text) if not options.config and (text := os.environ.get("RAYGENRE_DATA")) else None)
    tracking = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or None
    return replace(options, data=data, storage=str(storage), tracking_uri=tracking), storage
