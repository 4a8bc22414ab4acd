"""Where the commands print, and how they end on an error."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from raygenre.system.redaction import masked
from raygenre.system.storage import Storage

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it

out, err = Console(), Console(stderr=True)


def fail(message: str) -> NoReturn:
    """Print what is wrong, and end with status 2."""
    _print_error(message)
    raise typer.Exit(2)


@contextmanager
def asking(storage: Storage) -> Iterator[None]:
    """Ask MLflow, once each time; end with status 2 and what to do where it is away or refuses."""
    from raygenre.tracking.server import TrackingError, TrackingUnreachableError, no_retries, reason

    try:
        with no_retries():
            yield
    except (TrackingError, TrackingUnreachableError) as error:
        fail(f"MLflow cannot be asked at {storage.server}: {reason(error)}")


def name_failures(failures: Sequence[tuple[str, str]]) -> None:
    """Name each file that failed, with the reason; if there is one, end with status 1."""
    for name, reason in failures:
        _print_error(f"{name}: {reason}")
    if failures:
        raise typer.Exit(1)


def bar() -> Progress:
    """A progress bar on a terminal, nothing elsewhere."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def _print_error(message: str) -> None:
    err.print(f"[red]error:[/red] {escape(masked(message))}", highlight=False, soft_wrap=True)
