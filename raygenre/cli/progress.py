"""The display of a search: bars and a live table on a terminal, otherwise lines of text."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from raygenre.search.trials.phases import NAME_WIDTH, Phase, TextDisplay, TextTable

_REFRESHES = 2  # of the live table per second


class ConsoleDisplay(TextDisplay):
    """Prints lines of text; on a terminal, a progress bar or the live table is shown below them."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.is_live = console.is_terminal
        self._console = console

    def message(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def table(self, table: TextTable) -> None:
        self._console.print(_rendered(table))

    @contextmanager
    def live_table(self, table: Callable[[], TextTable]) -> Iterator[None]:
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
    def _open_phase(self, name: str, details: str, *, bar: bool) -> Iterator[Phase]:
        if not (self.is_live and bar):
            with super()._open_phase(name, details, bar=bar) as phase:
                yield phase
            return
        columns = (TextColumn("{task.description}"), BarColumn(), _Count(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            yield _BarPhase(progress, progress.add_task(f"{name:<{NAME_WIDTH}}", total=None))


class _BarPhase(Phase):
    """A running phase with a progress bar."""

    has_bar = True

    def __init__(self, progress: Progress, task: TaskID) -> None:
        super().__init__()
        self._progress = progress
        self._task = task

    def update(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)


class _Count(MofNCompleteColumn):
    """The completed and total counts; empty while the total is unknown."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total else Text("")


class _LiveTable:
    """Renders the current state of a table at each refresh."""

    def __init__(self, table: Callable[[], TextTable]) -> None:
        self._table = table

    def __rich__(self) -> Group:
        return _rendered(self._table())


def _rendered(table: TextTable) -> Group:
    rendered = Table(title=table.title or None, box=None, padding=(0, 1), header_style="bold")
    for name in table.columns:
        rendered.add_column(Text(name), justify="left" if name in table.left else "right")
    for cells in table.rows:
        rendered.add_row(*(Text(cell) for cell in cells))
    return Group(rendered, Text(table.footer)) if table.footer else Group(rendered)
