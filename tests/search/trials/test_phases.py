"""The output of a search: phases, details and tables."""

import io

import pytest

from raygenre.search.trials.phases import LINE_WIDTH, TextDisplay, TextTable, duration, left_text


def test_a_phase_is_a_line_at_its_start_and_its_end() -> None:
    text = io.StringIO()
    with TextDisplay(text).phase("tracks", "read /music") as phase:
        phase.update(1, 2)
        phase.result = "2 tracks"
    start, done = text.getvalue().splitlines()
    assert start == "tracks        start   read /music"
    assert done == "tracks        done    0.0 s, 2 tracks"


def test_a_long_phase_writes_its_progress_once_a_minute() -> None:
    text, now = io.StringIO(), 0.0
    with TextDisplay(text, clock=lambda: now).phase("final", "40 epochs", seconds_left=lambda: 300 - now) as phase:
        for epoch in range(1, 41):
            now += 7
            phase.update(epoch, 40, "epochs")
    start, *progress, done = text.getvalue().splitlines()
    assert start == "final         start   40 epochs, about 5 min left"
    assert progress[0] == "final         so far  9 of 40 epochs, about 4 min left"
    assert progress[-1] == "final         so far  36 of 40 epochs, about 48 s left"
    assert len(progress) == 4
    assert done == "final         done    5 min"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "about 1 s left"),
        (99.4, "about 99 s left"),
        (99.6, "about 2 min left"),
        (7200, "about 2 h left"),
    ],
)
def test_the_time_left_is_one_short_number(seconds: float | None, text: str) -> None:
    assert left_text(lambda: seconds) == text


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
    with display.phase("tracks"), display.live_table(lambda *_: pytest.fail("the display is not live")):
        display.message("read 2 tracks")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (48.4, "48 s"), (99, "99 s"), (150, "2 min")])
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text
