"""The interface for displaying a search, and `TextDisplay`, which writes lines of text.

Lines have three aligned columns: the topic, the event and the details. Long details continue on the next line.
`raygenre.cli.progress` has the display that the commands use, with bars and a live table on a terminal.
"""

import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, Protocol

LINE_WIDTH = 100  # characters
NAME_WIDTH = 12  # characters of the first column
_EVENT_WIDTH = 6
_INDENT = " " * (NAME_WIDTH + 2)


@dataclass(frozen=True)
class TextTable:
    """A table of strings.

    Attributes:
        columns: names of the columns.
        rows: the rows, each with a cell for every column.
        left: names of the columns that are aligned left; all others are aligned right.
        title: text to display above the table, or empty.
        footer: text to display below the table, or empty.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: frozenset[str] = frozenset()
    title: str = ""
    footer: str = ""


class Phase:
    """A running phase without a progress bar.

    Attributes:
        has_bar: whether `update` displays anything.
        result: text to display after the duration on the last line.
    """

    has_bar = False

    def __init__(self) -> None:
        self.result = ""

    def update(self, done: int, total: int) -> None:
        """Advance the progress bar, if there is one."""


class Display(Protocol):
    """Displays the progress of a search."""

    @property
    def is_live(self) -> bool:
        """Whether bars and tables are redrawn in place; if not, each update is printed as a new line."""

    def phase(self, name: str, details: str = "", *, bar: bool = True) -> AbstractContextManager[Phase]:
        """Display the start of a phase, or a progress bar instead, and, unless the phase fails, its end and duration.

        Args:
            details: text to show on the first line.
            bar: whether a live display shows a bar; False if the phase displays its own progress.
        """

    def event(self, name: str, event: str, details: str = "") -> None:
        """Display an event."""

    def info(self, name: str, text: str) -> None:
        """Display a fact."""

    def message(self, text: str) -> None:
        """Display lines as they are, without columns."""

    def table(self, table: TextTable) -> None:
        """Display a table once."""

    def live_table(self, table: Callable[[], TextTable]) -> AbstractContextManager[None]:
        """Redraw a table several times a second; do nothing if the display is not live."""


class TextDisplay:
    """Writes every event as a line of text.

    Args:
        stream: stream to write the lines to; None discards them.
    """

    is_live = False

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream

    @contextmanager
    def phase(self, name: str, details: str = "", *, bar: bool = True) -> Iterator[Phase]:
        started = time.monotonic()
        with self._open_phase(name, details, bar=bar) as phase:
            yield phase
        took = duration(time.monotonic() - started)
        self.event(name, "done", f"{took}, {phase.result}" if phase.result else took)

    def event(self, name: str, event: str, details: str = "") -> None:
        self.info(name, f"{event:<{_EVENT_WIDTH}}  {details}".rstrip())

    def info(self, name: str, text: str) -> None:
        lines = textwrap.wrap(text, LINE_WIDTH - len(_INDENT), break_long_words=False, break_on_hyphens=False)
        wrapped = f"\n{_INDENT}".join(lines)
        self.message(f"{name:<{NAME_WIDTH}}  {wrapped}".rstrip())

    def message(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def table(self, table: TextTable) -> None:
        self.message(_table_text(table))

    @contextmanager
    def live_table(self, table: Callable[[], TextTable]) -> Iterator[None]:
        yield

    @contextmanager
    def _open_phase(self, name: str, details: str, *, bar: bool) -> Iterator[Phase]:
        """Display the start of a phase."""
        self.event(name, "start", details)
        yield Phase()


def duration(seconds: float) -> str:
    """Return a duration in s or min, such as `48 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _table_text(table: TextTable) -> str:
    """Return the table as aligned columns, with the title centred above them."""
    lines = [table.columns, *table.rows]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    aligned = [
        "".join(
            f" {cell:<{width}} " if name in table.left else f" {cell:>{width}} "
            for name, cell, width in zip(table.columns, cells, widths, strict=True)
        )
        for cells in lines
    ]
    total = len(aligned[0])
    title = [f"{' ' * ((total - len(line)) // 2)}{line}" for line in textwrap.wrap(table.title, total)]
    return "\n".join([*title, *aligned, *([table.footer] if table.footer else [])])
