"""The table and lines that show trials, from ledgers filled without training."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from raygenre.search.study.ledger import Ledger
from raygenre.search.trials.phases import LINE_WIDTH, TextDisplay, TextTable
from raygenre.search.trials.progress import TrialProgress
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.search.trials.timings import Work
from raygenre.search.trials.trial_config import TrialConfig
from tests.conftest import new_ledger
from tests.helpers.trials import epoch_report

SIX: dict[str, object] = {
    "batch_size": [8, 16, 32],
    "augmentation": ["none", "erasing"],
    "normalisation": ["none", "batch"],
}
"""Search space entries in addition to dropout, learning rate and decay."""
MORE = SIX | {"width": {"low": 8, "high": 64}, "dense": [64, 128], "precision": ["float32", "bfloat16"]}


class Shown:
    """The progress of a ledger's trials, without Ray.

    Attributes:
        text: the output so far.
        now: the current time in s.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.text = io.StringIO()
        self.now = 0.0
        self._ledger = ledger
        config = ledger.config
        work = Work(config.trials, config.epochs, config.top_k, repeats=2, slots=2)
        timer = SearchTimer(ledger, work, clock=lambda: self.now)
        self.progress = TrialProgress(ledger, TextDisplay(self.text, clock=lambda: self.now), timer)

    def suggest(self) -> Any:
        """Add a trial to the ledger, and return Ray Tune's trial, which has not started."""
        number = len(self._ledger.trials)
        frozen = self._ledger.start_trial(sampler("random", seed=number, trials=99), self._ledger.config.distributions)
        return SimpleNamespace(config=TrialConfig.of(self._ledger, frozen).to_dict())

    def train(self, trial: Any, epochs: int, *, seconds: float = 1.0) -> None:
        self.progress.on_trial_start(0, [], trial)
        for epoch in range(1, epochs + 1):
            self.now += seconds
            self._ledger.report(trial.config["number"], epoch=epoch, loss=0.75)
            self.progress.on_trial_result(0, [], trial, epoch_report(epoch, 0.75))

    def end(self, trial: Any, *, failure: str = "") -> None:
        self._ledger.finish(trial.config["number"], failure=failure)
        self.progress.on_trial_complete(0, [], trial)

    def table(self, width: int = 100, height: int = 24) -> TextTable:
        return self.progress.table(width, height)

    def states(self) -> dict[str, str]:
        """Return the states in the table, by trial."""
        return {row[0].strip(): row[1].strip() for row in self.table().rows}


def test_ended_trials_are_rows_with_aligned_columns(tracks: Dataset, tmp_path: Path) -> None:
    shown = Shown(new_ledger(tmp_path, tracks, trials=3))
    failure = "loss is nan in epoch 1"
    for epochs in (2, 1, 0):
        trial = shown.suggest()
        shown.train(trial, epochs)
        shown.end(trial, failure="" if epochs else failure)
    header, done, pruned, failed = shown.text.getvalue().splitlines()
    assert header.split()[:5] == ["best", "left", "epoch", "loss", "accuracy"]
    assert done.split()[:4] == ["trial", "0", "done", "0.750"]
    assert "  2/2   0.750     75.0%" in done
    assert pruned.split()[:3] == ["trial", "1", "pruned"]
    assert failed.split()[:3] == ["trial", "2", "failed"]
    assert len({len(line) for line in (header, done, pruned, failed)}) == 1
    assert len(header) <= LINE_WIDTH


def test_four_values_fit_a_line_with_short_names(tracks: Dataset, tmp_path: Path) -> None:
    shown = Shown(new_ledger(tmp_path, tracks, space={"batch_size": SIX["batch_size"]}))
    trial = shown.suggest()
    shown.train(trial, 2)
    shown.end(trial)
    header, line = shown.text.getvalue().splitlines()
    assert header.split()[-4:] == ["dropout", "lr", "decay", "batch"]
    assert len(header) == len(line) <= LINE_WIDTH


@pytest.mark.parametrize(("space", "lines"), [(SIX, 2), (MORE, 3)])
def test_more_values_are_named_on_a_line_of_their_own(
    tracks: Dataset, tmp_path: Path, space: dict[str, object], lines: int
) -> None:
    shown = Shown(new_ledger(tmp_path, tracks, trials=9, epochs=2, space=space))
    for _ in range(9):
        trial = shown.suggest()
        shown.train(trial, 2)
        shown.end(trial)
    header, *rows = shown.text.getvalue().splitlines()
    assert max(len(line) for line in (header, *rows)) <= LINE_WIDTH
    assert len(rows) == 9 * lines
    assert len({len(line) for line in (header, *rows[::lines])}) == 1
    for name in ("dropout ", "lr ", "decay ", "augment ", "norm "):
        assert len({line.index(name) for line in rows if name in line}) == 1, f"{name} is not aligned"


def test_a_trial_that_waits_is_not_running(tracks: Dataset, tmp_path: Path) -> None:
    shown = Shown(new_ledger(tmp_path, tracks))
    first, second = shown.suggest(), shown.suggest()
    shown.train(first, 1)
    assert "1 running" in shown.table().footer
    assert shown.states() == {"0": "running", "1": "waiting"}
    shown.train(second, 1)
    assert "2 running" in shown.table().footer
    shown.progress.on_trial_recover(0, [], first)  # the trial's worker died, so the trial waits for a new worker
    assert "1 running" in shown.table().footer
    assert shown.states() == {"0": "waiting", "1": "running"}


def test_no_trial_runs_in_the_table_of_an_interrupted_search(tracks: Dataset, tmp_path: Path) -> None:
    shown = Shown(new_ledger(tmp_path, tracks))
    with shown.progress.stopped_at_end():
        shown.train(shown.suggest(), 1)
        assert shown.states() == {"0": "running"}
    assert shown.states() == {"0": "waiting"}
    assert "running" not in shown.table().footer


def test_a_long_silence_ends_with_a_summary(tracks: Dataset, tmp_path: Path) -> None:
    shown = Shown(new_ledger(tmp_path, tracks, trials=3, epochs=9))
    shown.train(shown.suggest(), 7, seconds=25)
    lines = shown.text.getvalue().splitlines()
    assert [line[:20] for line in lines] == ["trials        so far"] * 2
    assert "0 of 3 ended · 1 running · about " in lines[-1]
    assert lines[-1].endswith(" min left")


@pytest.mark.parametrize("space", [{}, SIX, MORE])
def test_the_table_fits_the_terminal(tracks: Dataset, tmp_path: Path, space: dict[str, object]) -> None:
    shown = Shown(new_ledger(tmp_path, tracks, trials=200, epochs=100, space=space))
    running = shown.suggest()
    shown.train(running, 1)
    for _ in range(17):
        shown.end(shown.suggest())
    for width in (60, 80, 100, 160):
        text = io.StringIO()
        table = shown.table(width)
        TextDisplay(text).table(table)
        *rows, footer = text.getvalue().splitlines()
        assert max(map(len, rows)) <= width
        assert len(footer) <= 80
        assert ("…" in table.columns) == ((space == SIX and width < 80) or (space == MORE and width < 100))
    assert shown.states()["0"] == "running", "a running trial stays visible even if many trials end after it starts"
    assert list(shown.states())[1:] == [str(number) for number in range(3, 18)]
    widths = {tuple(map(len, row)) for row in table.rows}
    assert len(widths) == 1, "the columns move when a cell becomes longer"
    assert len(shown.table(height=12).rows) == 8
