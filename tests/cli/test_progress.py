import io

import pytest

from raygenre.cli.console import LiteralConsole
from raygenre.cli.progress import ConsoleDisplay
from raygenre.search.trials.phases import TextDisplay, TextTable

TRIALS = TextTable(
    columns=("trial", "state", "learning rate"),
    rows=[("0", "done", "0.001"), ("10", "[red]", "–")],
    left=frozenset({"state"}),
    footer="2 of 8 trials ended",
)


def terminal(text: io.StringIO) -> LiteralConsole:
    return LiteralConsole(file=text, force_terminal=True, width=100)


def test_off_a_terminal_all_output_is_lines_without_wrapping() -> None:
    text = io.StringIO()
    display = ConsoleDisplay(LiteralConsole(file=text, width=40))
    assert not display.is_live
    with (
        display.live_table(lambda *_: pytest.fail("the display is not live")),
        display.phase("tracks", "read") as phase,
    ):
        phase.result = "2 tracks"
    display.info("ray", "connected to a cluster with 2 CPUs and no GPU")
    assert text.getvalue().splitlines() == [
        "tracks        start   read",
        "tracks        done    0.0 s, 2 tracks",
        "ray           connected to a cluster with 2 CPUs and no GPU",
    ]


def test_on_a_terminal_a_phase_is_a_bar_and_then_a_line() -> None:
    text = io.StringIO()
    with ConsoleDisplay(terminal(text)).phase("final", "10 epochs") as phase:
        phase.update(3, 10)
    assert "3/10" in text.getvalue()
    assert "10 epochs" not in text.getvalue()
    assert "final         done    0.0 s" in text.getvalue().splitlines()[-1]


def test_a_bar_with_the_time_left_fits_a_narrow_terminal() -> None:
    text = io.StringIO()
    console = LiteralConsole(file=text, force_terminal=True, width=80)
    with ConsoleDisplay(console).phase("registration", seconds_left=lambda: 5900.0) as phase:
        phase.update(1000, 2400, "epochs")
    assert "1000/2400 epochs" in text.getvalue()
    assert "about 98 min left" in text.getvalue()


def test_the_live_table_is_made_for_the_size_of_the_terminal() -> None:
    sizes = set()

    def table(width: int, height: int) -> TextTable:
        sizes.add((width, height))
        return TRIALS

    with ConsoleDisplay(LiteralConsole(file=io.StringIO(), force_terminal=True, width=80, height=24)).live_table(table):
        pass
    assert sizes == {(80, 24)}


def test_lines_are_wrapped_at_the_width_of_the_terminal() -> None:
    text = io.StringIO()
    display = ConsoleDisplay(LiteralConsole(file=text, force_terminal=True, width=60))
    display.info("search", ", ".join(["learning rate"] * 12))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 60
    assert all(line.startswith(" " * 14) for line in lines[1:])


def test_a_phase_without_a_bar_is_a_line_at_its_start() -> None:
    text = io.StringIO()
    with ConsoleDisplay(terminal(text)).phase("trials", "8 trials", bar=False):
        assert text.getvalue() == "trials        start   8 trials\n"


def test_the_live_table_is_drawn_until_its_end() -> None:
    text = io.StringIO()
    tables = [TextTable(TRIALS.columns, []), TRIALS]
    with ConsoleDisplay(terminal(text)).live_table(lambda width, height: tables[-1]):
        pass
    assert "2 of 8 trials ended" in text.getvalue()
    assert "[red]" in text.getvalue()  # cells are not parsed as markup


def test_the_live_table_stops_after_an_error() -> None:
    console = terminal(io.StringIO())
    with pytest.raises(OSError, match="full"), ConsoleDisplay(console).live_table(lambda width, height: TRIALS):
        raise OSError("disk full")
    with ConsoleDisplay(console).live_table(
        lambda width, height: TRIALS
    ):  # a console can have only one live display at a time
        pass


@pytest.mark.parametrize("title", ["", "front", "Pareto front for loss and parameters and latency"])
def test_tables_look_the_same_with_and_without_rich(title: str) -> None:
    table = TextTable(TRIALS.columns, TRIALS.rows, TRIALS.left, title, TRIALS.footer)
    plain, drawn = io.StringIO(), io.StringIO()
    TextDisplay(plain).table(table)
    ConsoleDisplay(LiteralConsole(file=drawn, width=100)).table(table)
    assert [line.rstrip() for line in drawn.getvalue().splitlines()] == [
        line.rstrip() for line in plain.getvalue().splitlines()
    ]
