"""Figures for searches whose ledgers were filled without training."""

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
    """Return a search with one trial per letter: c for complete, s stopped, f failed, e without epochs, r running."""
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
def test_each_figure_is_drawn_or_has_a_reason(
    tracks: Dataset, tmp_path: Path, ends: str, changes: dict[str, object], left_out: set[str]
) -> None:
    drawn = figures.draw(searched(tmp_path, tracks, ends, **changes))
    assert drawn.left_out.keys() == left_out
    assert drawn.pictures.keys() == TITLES.keys() - left_out
    for name, picture in drawn.pictures.items():
        image = np.asarray(Image.open(io.BytesIO(picture)).convert("L"))
        assert image.shape[1] == 720, name
        assert (image < 128).sum() > 300, name  # the image is not blank
    for name, reason in drawn.left_out.items():
        assert "drawing failed" not in reason, (name, reason)
        assert reason in drawn.page
    for name in drawn.pictures:
        assert f'<div id="{name}"' in drawn.page


def test_stopped_trials_are_drawn_if_too_few_are_complete(tracks: Dataset, tmp_path: Path) -> None:
    ledger = searched(tmp_path, tracks, "csscs", scheduler="asha")
    sample = SearchData(ledger).sample(figures.MIN_TRIALS)
    assert [trial.number for trial in sample.trials] == [0, 3, 1, 2, 4]
    assert sample.values.tolist() == [min(trial.intermediate_values.values()) for trial in sample.trials]
    caption = "2 completed trials, and the lowest losses of 3 trials that were stopped early"
    assert sample.note == caption
    assert figures.draw(ledger).page.count(caption) == 2  # importances and contour
    from matplotlib.figure import Figure

    from raygenre.search.summary import matplotlib_figures

    contour, importances = Figure(), Figure()
    matplotlib_figures.contour(contour, SearchData(ledger), sample, *SearchData(ledger).axes[:2])
    matplotlib_figures.importances(importances, {"decay": 0.5}, sample)
    for figure in (contour, importances):
        assert figure.axes[0].get_title() == caption


def test_stopped_trials_are_left_out_if_enough_are_complete(tracks: Dataset, tmp_path: Path) -> None:
    ledger = searched(tmp_path, tracks, "csccc", scheduler="asha")
    assert SearchData(ledger).sample(figures.MIN_TRIALS).trials == SearchData(ledger).complete
    assert "stopped early with" not in figures.draw(ledger).page


def test_the_page_loads_nothing_from_other_hosts(tracks: Dataset, tmp_path: Path) -> None:
    page = figures.draw(searched(tmp_path, tracks, "cscc")).page
    assert page.count("<html") == 1
    assert page.count("plotly.js v") == 1  # Plotly's code is included only once
    assert "<script src" not in page
    assert "default-src 'none'" in page[:500]
    assert len(page) < 6e6


def test_a_failing_figure_does_not_affect_the_others(
    tracks: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raygenre.search.summary import matplotlib_figures

    def broken(*arguments: object) -> None:
        raise RuntimeError("<no triangles>")

    monkeypatch.setattr(matplotlib_figures, "contour", broken)
    drawn = figures.draw(searched(tmp_path, tracks, "cccccc"))
    assert drawn.left_out == {"contour": "drawing failed (RuntimeError: <no triangles>)"}
    assert "(RuntimeError: &lt;no triangles&gt;)" in drawn.page
    assert len(drawn.pictures) == len(TITLES) - 1


def test_drawing_changes_no_global_state(tracks: Dataset, tmp_path: Path) -> None:
    import matplotlib
    from matplotlib import pyplot

    before, filters = dict(matplotlib.rcParams), list(warnings.filters)
    figures.draw(searched(tmp_path, tracks, "cccccc"))
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
    assert warnings.filters == filters


def test_best_stopped_and_failed_trials_have_their_colours(tracks: Dataset, tmp_path: Path) -> None:
    data = SearchData(searched(tmp_path, tracks, "cscfr", scheduler="asha"))
    assert [len(trials) for trials in (data.complete, data.stopped, data.failed)] == [2, 1, 1]
    assert len(data.trials) == 5
    from raygenre.search.summary import plotly_figures

    lines = plotly_figures.learning_curves(data).data
    assert lines[-1].name == f"trial {data.ledger.top(1)[0].number}"  # drawn on top of all other traces
    assert {line.line.color for line in lines} == {"#bbb", "#c0392b", "#7fb3d5", "#1b6ca8"}


def test_missing_epoch_times_are_interpolated(tracks: Dataset, tmp_path: Path) -> None:
    ledger = searched(tmp_path, tracks, "r")
    started = ledger.trials[0].datetime_start
    assert started is not None
    for epoch in range(2, EPOCHS + 1):
        ledger.report(0, epoch=epoch, loss=1.0)
    # Simulate a new driver that resumed the trial after the fourth epoch.
    ledger._reported[0] = {5: started.timestamp() + 300, 6: started.timestamp() + 360}
    ledger.finish(0)
    minutes, epochs = SearchData(ledger).progress(ledger.trials[0])
    assert epochs == [0, 1, 2, 3, 4, 5, 6]
    assert minutes == pytest.approx([0, 1, 2, 3, 4, 5, 6])
