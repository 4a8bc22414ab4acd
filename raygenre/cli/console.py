"""Output, error handling and exit codes of the commands.

Exit codes of every command:
- 0: success.
- 1: the command ran, but not everything succeeded: some files failed, the version was not promoted, the
  evaluation was not logged, the replayed training run has a different learning curve, or `doctor` found a problem.
- 2: an error that the user can fix, such as a wrong option, a missing file or an unreachable server; it is reported
  in one line on stderr.
- 130: Ctrl-C, except for `dashboard`, `serve` and `ui`, which run until Ctrl-C is pressed and exit with 0.

Any other exception is a bug, and its traceback is printed.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text
from typer.core import TyperGroup

from raygenre.errors import FileAccessError, RaygenreError
from raygenre.system.atomic_write import write_atomically
from raygenre.system.printable import printable, printable_lines
from raygenre.system.redaction import masked
from raygenre.system.storage import Storage

INTERRUPTED = 130  # exit code after Ctrl-C, as in shells
MAX_FAILURES = 10  # maximum number of failures to print if all are listed elsewhere


class LiteralConsole(Console):
    """A console that prints text literally, because nearly every message contains names chosen by other people.

    `[bold]` is not treated as markup, and `:fire:` is not treated as an emoji; numbers are not highlighted, and control
    characters are escaped.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:  # called for every string, including those in tables
        return super().render_str(printable_lines(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        # Everything has been escaped already, except names that were put into a Text without `styled`.
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable_lines(segment.text), segment.style)


out, err = LiteralConsole(), LiteralConsole(stderr=True)


def styled(text: str, style: str) -> Text:
    """Return text in a style, such as `bold yellow`; the text itself is printed literally."""
    return Text(printable_lines(text), style)


@contextmanager
def exit_on_errors() -> Iterator[None]:
    """Exit with 2 after printing an error that the user can fix, and with 130 on Ctrl-C."""
    try:
        yield
    except RaygenreError as error:
        fail(str(error))
    except KeyboardInterrupt:
        err.print("interrupted")
        raise typer.Exit(INTERRUPTED) from None


class MlflowRequestError(RaygenreError, RuntimeError):
    """MLflow is unreachable or rejected a request; the message explains why."""


class CommandGroup(TyperGroup):
    """The group of all commands, which handles their errors in one place."""

    def invoke(self, ctx: Any) -> Any:  # a Click Context; newer Typer releases vendor Click
        with exit_on_errors():
            return super().invoke(ctx)


def fail(message: str) -> NoReturn:
    """Print an error and exit with status 2."""
    print_error(message)
    raise typer.Exit(2)


@contextmanager
def mlflow_errors(storage: Storage) -> Iterator[None]:
    """Send each request to MLflow only once, and convert errors into an MlflowRequestError that states the reason."""
    from raygenre.tracking.retries import no_retries

    try:
        with no_retries():
            yield
    except RaygenreError:
        raise
    except Exception as error:
        from raygenre.tracking.server_errors import TrackingError, reason  # imported here because it loads MLflow

        if not isinstance(error, TrackingError):
            raise
        raise MlflowRequestError(f"a request to MLflow at {storage.server} failed: {reason(error)}") from error


def report_failures(failures: Sequence[tuple[str, str]]) -> None:
    """Print each failed file with the reason, and exit with status 1 if any file failed."""
    print_failures(failures)
    if failures:
        raise typer.Exit(1)


def print_failures(failures: Sequence[tuple[str, str]], full_list: str = "") -> None:
    """Print each failed file with the reason.

    Args:
        full_list: where all failures are listed, such as a file name; if set, only the first failures are printed.
    """
    shown = failures[:MAX_FAILURES] if full_list else failures
    for name, reason in shown:
        print_error(f"{printable(name)}: {reason}")
    if rest := len(failures) - len(shown):
        err.print(f"and {rest} more; all are listed in {full_list}", soft_wrap=True)


def print_left_out(notes: Sequence[str], left_out: Sequence[tuple[Path | str, str]] = ()) -> None:
    """Print notes about the contents of a folder, then each file that was left out, with the reason."""
    files = (f"left out: {printable(path)}: {reason}" for path, reason in left_out)
    for line in (*notes, *files):
        err.print(line, soft_wrap=True)


def print_error(message: str) -> None:
    """Print an error on stderr, with passwords in addresses masked."""
    err.print(styled("error:", "red"), masked(message), soft_wrap=True)


def print_warning(message: str, title: str = "warning:") -> None:
    """Print a warning on stderr, so that stdout contains only results."""
    err.print(styled(title, "bold yellow"), message, soft_wrap=True)


def write_file(path: Path, data: bytes) -> None:
    """Write an output file atomically.

    Raises:
        FileAccessError: the file cannot be written.
    """
    try:
        write_atomically(path, data)
    except OSError as error:
        raise FileAccessError(f"{printable(path)} cannot be written: {error.strerror}") from error


def bar() -> Progress:
    """Return a progress bar that is shown only on a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
