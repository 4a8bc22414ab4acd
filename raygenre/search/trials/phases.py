"""The interface for displaying a search, and `TextDisplay`, which writes lines of text.

Lines have three aligned columns: the topic, the event and the details. Long details continue on the next line.
`raygenre.cli.progress` contains the display that the commands use, with bars and a live table on a terminal.
"""

import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, Protocol

LINE_WIDTH = 100  # characters
SILENCE = 60.0  # s without output, after which the progress of a phase is written as a line
NAME_WIDTH = 12  # characters in the first column
_EVENT_WIDTH = 6
INDENT = " " * (NAME_WIDTH + 2)
"""Prefix of a line that continues the previous line."""


SecondsLeft = Callable[[], float | None]
"""A function that estimates the time left, in s; it returns None while the time is unknown."""


@dataclass(frozen=True)
class TextTable:
    """A table of strings.

    Attributes:
        columns: names of the columns.
        rows: the rows, each with a cell for every column.
        left: names of the left-aligned columns; all others are right-aligned.
        title: text to display above the table, or empty.
        footer: text to display below the table, or empty.
        gap: number of characters between two columns, 1 or 2.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: frozenset[str] = frozenset()
    title: str = ""
    footer: str = ""
    gap: int = 2


class Phase:
    """A running phase.

    Attributes:
        result: text to display after the duration on the last line.
    """

    def __init__(self) -> None:
        self.result = ""

    def update(self, done: int, total: int, unit: str = "") -> None:
        """Display how much of the phase has been completed, as a progress bar or, from time to time, as a line."""


class Display(Protocol):
    """Displays the progress of a search."""

    @property
    def is_live(self) -> bool:
        """Whether bars and tables are redrawn in place; if not, each update is printed as a new line."""

    @property
    def silence(self) -> float:
        """Time since something was last displayed, in s."""

    def phase(
        self, name: str, details: str = "", *, bar: bool = True, seconds_left: SecondsLeft | None = None
    ) -> AbstractContextManager[Phase]:
        """Display the start of a phase (or a progress bar instead) and, unless the phase fails, its end and duration.

        Args:
            details: text to show on the first line.
            bar: whether a live display shows a bar; False if the phase displays its own progress.
            seconds_left: function that estimates the time until the whole command ends, for display with the phase.
        """

    def event(self, name: str, event: str, details: str = "") -> None:
        """Display an event with its details."""

    def info(self, name: str, text: str) -> None:
        """Display text other than an event, with its topic in the first column."""

    def message(self, text: str) -> None:
        """Display lines as they are, without columns."""

    def table(self, table: TextTable) -> None:
        """Display a table once."""

    def live_table(self, table: Callable[[int, int], TextTable]) -> AbstractContextManager[None]:
        """Redraw a table several times a second; do nothing if the display is not live.

        Args:
            table: returns the current table for a terminal of this width and height, in characters.
        """


class TextDisplay:
    """Writes every event as a line of text.

    Attributes:
        width: number of characters after which long details continue on the next line.

    Args:
        stream: stream to write the lines to; None discards them.
        clock: returns the time in s; used to measure durations and to detect long periods without output.
    """

    is_live = False
    width = LINE_WIDTH

    def __init__(self, stream: IO[str] | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._written = clock()

    @property
    def silence(self) -> float:
        """Time since something was last written, in s."""
        return self._clock() - self._written

    @contextmanager
    def phase(
        self, name: str, details: str = "", *, bar: bool = True, seconds_left: SecondsLeft | None = None
    ) -> Iterator[Phase]:
        started = self._clock()
        with self._open_phase(name, details, bar, seconds_left) as phase:
            yield phase
        took = duration(self._clock() - started)
        self.event(name, "done", f"{took}, {phase.result}" if phase.result else took)

    def event(self, name: str, event: str, details: str = "") -> None:
        self.info(name, f"{event:<{_EVENT_WIDTH}}  {details}".rstrip())

    def info(self, name: str, text: str) -> None:
        lines = textwrap.wrap(text, self.width - len(INDENT), break_long_words=False, break_on_hyphens=False)
        wrapped = f"\n{INDENT}".join(lines)
        self.message(f"{name:<{NAME_WIDTH}}  {wrapped}".rstrip())

    def message(self, text: str) -> None:
        self._written = self._clock()
        if self._stream is not None:
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def table(self, table: TextTable) -> None:
        self.message(_table_text(table))

    @contextmanager
    def live_table(self, table: Callable[[int, int], TextTable]) -> Iterator[None]:
        yield

    @contextmanager
    def _open_phase(self, name: str, details: str, bar: bool, seconds_left: SecondsLeft | None) -> Iterator[Phase]:
        """Display the start of a phase."""
        self.event(name, "start", joined(details, left_text(seconds_left)))
        yield _TextPhase(self, name, seconds_left)


class _TextPhase(Phase):
    """A running phase that writes a line if nothing has been written for a minute."""

    def __init__(self, display: TextDisplay, name: str, seconds_left: SecondsLeft | None) -> None:
        super().__init__()
        self._display = display
        self._name = name
        self._seconds_left = seconds_left

    def update(self, done: int, total: int, unit: str = "") -> None:
        if self._display.silence >= SILENCE:
            progress = f"{done} of {total} {unit}".rstrip()
            self._display.event(self._name, "so far", joined(progress, left_text(self._seconds_left)))


def left_text(seconds_left: SecondsLeft | None) -> str:
    """Return the time left as text, such as `about 2 min left`; empty while it is unknown."""
    seconds = seconds_left() if seconds_left else None
    return "" if seconds is None else f"about {short_duration(seconds)} left"


def joined(*parts: str) -> str:
    """Return the parts that are not empty, separated by commas."""
    return ", ".join(part for part in parts if part)


def short_duration(seconds: float) -> str:
    """Return an estimated duration as text, in whole seconds, minutes or hours, but at least 1 s."""
    if seconds < 99.5:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.0f} h"


def duration(seconds: float) -> str:
    """Return a duration as text, in seconds or minutes, such as `48 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _table_text(table: TextTable) -> str:
    """Return the table as aligned columns, with the title centred above them."""
    lines, margin = [table.columns, *table.rows], " " * (table.gap - 1)
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    aligned = [
        "".join(
            f"{margin}{cell:<{width}} " if name in table.left else f"{margin}{cell:>{width}} "
            for name, cell, width in zip(table.columns, cells, widths, strict=True)
        )
        for cells in lines
    ]
    total = len(aligned[0])
    title = [f"{' ' * ((total - len(line)) // 2)}{line}" for line in textwrap.wrap(table.title, total)]
    return "\n".join([*title, *aligned, *([table.footer] if table.footer else [])])
