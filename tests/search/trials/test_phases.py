"""The lines that a search prints: phases, details and tables."""

import io

import pytest

from raygenre.search.trials.phases import LINE_WIDTH, TextDisplay, TextTable, duration


def test_a_phase_is_a_line_at_its_start_and_its_end() -> None:
    text = io.StringIO()
    with TextDisplay(text).phase("tracks", "read /music") as phase:
        assert not phase.has_bar
        phase.update(1, 2)
        phase.result = "2 tracks"
    start, done = text.getvalue().splitlines()
    assert start == "tracks        start   read /music"
    assert done == "tracks        done    0.0 s, 2 tracks"


def test_a_phase_that_fails_has_no_line_at_its_end() -> None:
    text = io.StringIO()
    with pytest.raises(OSError, match="full"), TextDisplay(text).phase("final"):
        raise OSError("disk full")
    assert text.getvalue() == "final         start\n"


def test_long_details_continue_below_their_column() -> None:
    text = io.StringIO()
    TextDisplay(text).info("search", ", ".join(["learning rate"] * 20))
    lines = text.getvalue().splitlines()
    assert len(lines) > 1
    assert all(len(line) <= LINE_WIDTH for line in lines)
    assert all(line.startswith(" " * 14) for line in lines[1:])


def test_a_table_has_aligned_columns_below_its_title() -> None:
    text = io.StringIO()
    rows = [("0", "done", "0.75"), ("10", "failed", "–")]
    TextDisplay(text).table(TextTable(("trial", "state", "loss"), rows, frozenset({"state"}), "front", "2 trials"))
    assert text.getvalue().splitlines() == [
        "        front",
        " trial  state   loss ",
        "     0  done    0.75 ",
        "    10  failed     – ",
        "2 trials",
    ]


def test_a_display_without_a_stream_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    display = TextDisplay()
    with display.phase("tracks"), display.live_table(lambda: pytest.fail("the display is not live")):
        display.message("read 2 tracks")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (48.4, "48 s"), (99, "99 s"), (150, "2 min")])
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text
