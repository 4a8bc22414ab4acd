"""What a search prints about its phases."""

import io

import pytest
from rich.console import Console

from raygenre.search.trials.phases import LINE_WIDTH, Phases, duration


def test_off_a_terminal_a_phase_is_a_line_at_start_and_end() -> None:
    text = io.StringIO()
    with Phases(Console(file=text, width=40)).phase("tracks", "read /music") as phase:
        assert not phase.has_bar
        phase.update(1, 2)
        phase.result = "2 tracks"
    start, done = text.getvalue().splitlines()
    assert start == "tracks        start   read /music"
    assert done == "tracks        done    0.0 s, 2 tracks"


def test_on_a_terminal_a_phase_is_a_bar_and_then_a_line() -> None:
    text = io.StringIO()
    with Phases(Console(file=text, force_terminal=True, width=100)).phase("final", "10 epochs") as phase:
        assert phase.has_bar
        phase.update(3, 10)
    assert "3/10" in text.getvalue()
    assert "final         done    0.0 s" in text.getvalue().splitlines()[-1]


def test_a_phase_that_fails_has_no_line_at_its_end() -> None:
    text = io.StringIO()
    with pytest.raises(OSError, match="full"), Phases(Console(file=text)).phase("final"):
        raise OSError("disk full")
    assert text.getvalue() == "final         start\n"


def test_long_details_continue_below_their_column() -> None:
    text = io.StringIO()
    Phases(Console(file=text, width=40)).info("search", ", ".join(["learning rate"] * 20))
    lines = text.getvalue().splitlines()
    assert len(lines) > 1
    assert all(len(line) <= LINE_WIDTH for line in lines)
    assert all(line.startswith(" " * 14) for line in lines[1:])


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (48.4, "48 s"), (99, "99 s"), (150, "2 min")])
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text
