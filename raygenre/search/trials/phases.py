"""What a search prints: a line for each event, and on a terminal a bar for each phase.

Lines have three aligned columns: what it is about, the event, and details. Long details continue on the next line.
"""

import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

LINE_WIDTH = 100  # characters
_NAME_WIDTH, _EVENT_WIDTH = 12, 6
_INDENT = " " * (_NAME_WIDTH + 2)


class Phase:
    """The phase that runs.

    Attributes:
        result: printed after the duration in the line at its end.
    """

    def __init__(self, progress: Progress | None = None, task: TaskID | None = None) -> None:
        self.result = ""
        self._progress = progress
        self._task = task

    @property
    def has_bar(self) -> bool:
        """Whether `update` shows anything."""
        return self._progress is not None

    def update(self, done: int, total: int) -> None:
        """Move the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)


class Phases:
    """Shows the progress of a search.

    Attributes:
        console: where it is printed.
    """

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def phase(self, name: str, details: str = "", *, bar: bool = True) -> Iterator[Phase]:
        """Show a phase: its start, unless a bar shows that, and its end with the duration, unless it fails.

        Args:
            details: of the line at the start.
            bar: whether a terminal shows a bar; without, the phase shows its progress itself.
        """
        started = time.monotonic()
        if self.console.is_terminal and bar:
            columns = (TextColumn("{task.description}"), BarColumn(), _Count(), TimeElapsedColumn())
            with Progress(*columns, console=self.console, transient=True) as progress:
                phase = Phase(progress, progress.add_task(f"{name:<{_NAME_WIDTH}}", total=None))
                yield phase
        else:
            self.event(name, "start", details)
            phase = Phase()
            yield phase
        took = duration(time.monotonic() - started)
        self.event(name, "done", f"{took}, {phase.result}" if phase.result else took)

    def event(self, name: str, event: str, details: str = "") -> None:
        """Print what happened."""
        self.info(name, f"{event:<{_EVENT_WIDTH}}  {details}".rstrip())

    def info(self, name: str, text: str) -> None:
        """Print a fact."""
        lines = textwrap.wrap(text, LINE_WIDTH - len(_INDENT), break_long_words=False, break_on_hyphens=False)
        printed = f"\n{_INDENT}".join(lines)
        self.console.print(f"{name:<{_NAME_WIDTH}}  {printed}".rstrip(), highlight=False, markup=False, soft_wrap=True)


class _Count(MofNCompleteColumn):
    """How much is done, of how much; empty while that is unknown."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total else Text("")


def duration(seconds: float) -> str:
    """Return a duration in s or min, such as `48 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
