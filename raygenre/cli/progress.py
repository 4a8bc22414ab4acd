"""The display of a search: bars and a live table on a terminal, otherwise lines of text."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from raygenre.search.trials.phases import LINE_WIDTH, NAME_WIDTH, Phase, SecondsLeft, TextDisplay, TextTable, left_text

_REFRESHES = 2  # refreshes of the live table per second
_MIN_WIDTH = 40  # characters per line, even in a narrower terminal
_BAR_WIDTH = 20  # characters; a bar with its labels then fits into 80 columns


class ConsoleDisplay(TextDisplay):
    """Prints lines of text and, on a terminal, a progress bar or the live table below them."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.is_live = console.is_terminal
        if self.is_live:
            self.width = max(_MIN_WIDTH, min(LINE_WIDTH, console.width))
        self._console = console

    def message(self, text: str) -> None:
        super().message(text)
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def table(self, table: TextTable) -> None:
        self._console.print(_rendered(table))

    @contextmanager
    def live_table(self, table: Callable[[int, int], TextTable]) -> Iterator[None]:
        if not self.is_live:
            yield
            return
        live = Live(_LiveTable(table), console=self._console, refresh_per_second=_REFRESHES)
        live.start()
        try:
            yield
        finally:
            live.stop()

    @contextmanager
    def _open_phase(self, name: str, details: str, bar: bool, seconds_left: SecondsLeft | None) -> Iterator[Phase]:
        if not (self.is_live and bar):
            with super()._open_phase(name, details, bar, seconds_left) as phase:
                yield phase
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=_BAR_WIDTH),
            _Count(),
            TimeElapsedColumn(),
            _Left(seconds_left),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            yield _BarPhase(progress, progress.add_task(f"{name:<{NAME_WIDTH}} ", total=None, unit=""))


class _BarPhase(Phase):
    """A running phase with a progress bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        super().__init__()
        self._progress = progress
        self._task = task

    def update(self, done: int, total: int, unit: str = "") -> None:
        self._progress.update(self._task, completed=done, total=total, unit=unit)


class _Count(ProgressColumn):
    """The completed and total counts; empty while the total is unknown."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.completed:.0f}/{task.total:.0f} {task.fields['unit']}".rstrip() if task.total else "")


class _Left(ProgressColumn):
    """The time until the whole command ends; empty while it is unknown."""

    max_refresh = 1.0  # s

    def __init__(self, seconds_left: SecondsLeft | None) -> None:
        super().__init__()
        self._seconds_left = seconds_left

    def render(self, task: Task) -> Text:
        return Text(left_text(self._seconds_left))


class _LiveTable:
    """Renders the current state of a table at each refresh."""

    def __init__(self, table: Callable[[int, int], TextTable]) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _rendered(self._table(options.max_width, console.height))


def _rendered(table: TextTable) -> Group:
    rendered = Table(title=table.title or None, box=None, padding=(0, 1, 0, table.gap - 1), header_style="bold")
    for name in table.columns:
        rendered.add_column(name, justify="left" if name in table.left else "right")
    for cells in table.rows:
        rendered.add_row(*cells)
    return Group(rendered, table.footer) if table.footer else Group(rendered)
