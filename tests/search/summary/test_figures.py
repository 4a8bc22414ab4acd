"""Figures of searches that were written into a ledger, without trainings."""

import io
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from raygenre.search.study.ledger import Ledger
from raygenre.search.summary import figures
from raygenre.search.summary.figure_data import SearchData
from raygenre.search.summary.figures import TITLES
from tests.conftest import new_ledger

EPOCHS = 6
WIDTH = {"width": {"low": 8, "high": 64, "log": True}}
CHOICES = {"augmentation": ["none", "erasing"], "normalisation": ["none", "batch"]}


def searched(folder: Path, tracks: Dataset, ends: str, **changes: object) -> Ledger:
    """A search whose trials ended so: c complete, s stopped, f failed, e without an epoch, r still running."""
    ledger = new_ledger(folder, tracks, trials=len(ends), epochs=EPOCHS, **changes)  # type: ignore[arg-type]
    draw = sampler("random", seed=1, trials=len(ends))
    for end in ends:
        trial = ledger.start_trial(draw, ledger.config.distributions)
        rate = math.log10(trial.params.get("learning_rate", 1e-3))
        for epoch in range(1, {"c": EPOCHS, "s": 3, "f": 2, "e": 0, "r": 1}[end] + 1):
            ledger.report(trial.number, epoch=epoch, loss=1 + (rate + 3) ** 2 + math.exp(-epoch))
        measured = {"objective_accuracy": 1 / (2 + rate**2), "objective_parameters": trial.number + 1.0}
        if end != "r":
            ledger.finish(trial.number, failure="it diverged" if end in "fe" else None, measured=measured)
    return ledger


@pytest.mark.parametrize(
    ("ends", "changes", "left_out"),
    [
        ("cscfcecsccr", {"scheduler": "asha"}, set()),
        ("cccccc", {"space": CHOICES}, set()),
        ("cccccc", {"space": WIDTH, "objectives": ["accuracy", "parameters"]}, set()),
        ("cccccc", {"space": {"dropout": 0.1, "decay": 0.01}}, {"importances", "contour"}),
        ("c", {}, {"importances", "contour"}),
        ("cssfscs", {"scheduler": "asha"}, set()),
        ("css", {"scheduler": "asha"}, {"importances", "contour"}),
        ("ssss", {"scheduler": "median"}, TITLES.keys() - {"learning_curves", "rungs_over_time"}),
        ("ee", {}, TITLES.keys()),
    ],
    ids=["mixed", "choices", "objectives", "one value", "one trial", "few", "too few", "stopped", "failed"],
)
def test_what_can_be_drawn_is_drawn_and_the_rest_has_a_reason(
    tracks: Dataset, tmp_path: Path, ends: str, changes: dict[str, object], left_out: set[str]
) -> None:
    drawn = figures.draw(searched(tmp_path, tracks, ends, **changes))
    assert drawn.left_out.keys() == left_out
    assert drawn.pictures.keys() == TITLES.keys() - left_out
    for name, picture in drawn.pictures.items():
        image = np.asarray(Image.open(io.BytesIO(picture)).convert("L"))
        assert image.shape[1] == 720, name
        assert (image < 128).sum() > 300, name  # there is more on it than white
    for name, reason in drawn.left_out.items():
        assert "cannot be drawn" not in reason, (name, reason)
        assert reason in drawn.page
    for name in drawn.pictures:
        assert f'<div id="{name}"' in drawn.page


def test_stopped_trials_are_drawn_where_too_few_ran_to_their_end_and_that_is_said(
    tracks: Dataset, tmp_path: Path
) -> None:
    ledger = searched(tmp_path, tracks, "csscs", scheduler="asha")
    sample = SearchData(ledger).sample(figures.FEWEST)
    assert [trial.number for trial in sample.trials] == [0, 3, 1, 2, 4]
    assert sample.values.tolist() == [min(trial.intermediate_values.values()) for trial in sample.trials]
    said = "2 complete trials and 3 stopped early, each of these with its lowest loss until then"
    assert sample.note == said
    assert figures.draw(ledger).page.count(said) == 2  # importances and contour
    from matplotlib.figure import Figure

    from raygenre.search.summary import matplotlib_figures

    contour, importances = Figure(), Figure()
    matplotlib_figures.contour(contour, SearchData(ledger), sample, *SearchData(ledger).axes[:2])
    matplotlib_figures.importances(importances, {"decay": 0.5}, sample)
    for figure in (contour, importances):
        assert figure.axes[0].get_title() == said


def test_where_enough_ran_to_their_end_stopped_trials_do_not_count(tracks: Dataset, tmp_path: Path) -> None:
    ledger = searched(tmp_path, tracks, "csccc", scheduler="asha")
    assert SearchData(ledger).sample(figures.FEWEST).trials == SearchData(ledger).complete
    assert "stopped early" not in figures.draw(ledger).page


def test_the_page_needs_no_other_host(tracks: Dataset, tmp_path: Path) -> None:
    page = figures.draw(searched(tmp_path, tracks, "cscc")).page
    assert page.count("<html") == 1
    assert page.count("plotly.js v") == 1  # its code, once
    assert "<script src" not in page
    assert "default-src 'none'" in page[:500]
    assert len(page) < 6e6


def test_a_figure_that_fails_costs_no_other(tracks: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raygenre.search.summary import matplotlib_figures

    def broken(*arguments: object) -> None:
        raise RuntimeError("<no triangles>")

    monkeypatch.setattr(matplotlib_figures, "contour", broken)
    drawn = figures.draw(searched(tmp_path, tracks, "cccccc"))
    assert drawn.left_out == {"contour": "it cannot be drawn (RuntimeError: <no triangles>)"}
    assert "(RuntimeError: &lt;no triangles&gt;)" in drawn.page
    assert len(drawn.pictures) == len(TITLES) - 1


def test_drawing_leaves_matplotlib_and_warnings_as_they_were(tracks: Dataset, tmp_path: Path) -> None:
    import matplotlib
    from matplotlib import pyplot

    before, filters = dict(matplotlib.rcParams), list(warnings.filters)
    figures.draw(searched(tmp_path, tracks, "cccccc"))
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
    assert warnings.filters == filters


def test_the_best_and_the_stopped_are_told_apart(tracks: Dataset, tmp_path: Path) -> None:
    view = SearchData(searched(tmp_path, tracks, "cscfr", scheduler="asha"))
    assert [len(trials) for trials in (view.complete, view.stopped, view.failed)] == [2, 1, 1]
    assert len(view.trials) == 5
    from raygenre.search.summary import plotly_figures

    lines = plotly_figures.learning_curves(view).data
    assert lines[-1].name == f"trial {view.ledger.top(1)[0].number}"  # above all others
    assert {line.line.color for line in lines} == {"#bbb", "#c0392b", "#7fb3d5", "#1b6ca8"}


def test_times_of_epochs_are_as_reported_and_even_between(tracks: Dataset, tmp_path: Path) -> None:
    ledger = searched(tmp_path, tracks, "r")
    began = ledger.trials[0].datetime_start
    assert began is not None
    for epoch in range(2, EPOCHS + 1):
        ledger.report(0, epoch=epoch, loss=1.0)
    # As of a driver that went on with the trial after the fourth epoch.
    ledger._reported[0] = {5: began.timestamp() + 300, 6: began.timestamp() + 360}
    ledger.finish(0)
    minutes, epochs = SearchData(ledger).progress(ledger.trials[0])
    assert epochs == [0, 1, 2, 3, 4, 5, 6]
    assert minutes == pytest.approx([0, 1, 2, 3, 4, 5, 6])
