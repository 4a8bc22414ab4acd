"""The figures of a search: an interactive HTML page with all of them, and a PNG of each.

A figure is skipped if there are too few trials for it, and the page states the reason.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raygenre.search.study.ledger import Ledger, losses
from raygenre.search.summary.figure_data import Axis, Sample, SearchData

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture
    from plotly.graph_objects import Figure as Plot

    from raygenre.search.summary.plotly_figures import PageFigure

FOLDER = "figures"
PAGE = f"{FOLDER}/all.html"
MIN_TRIALS = 4  # minimum number of trials for the importances and the contour plot

TITLES = {
    "learning_curves": ("Learning curves", "The validation loss of every trial; grey trials were stopped early."),
    "rungs_over_time": (
        "Rungs over time",
        "The epochs of each trial over time; trials are compared at the dashed lines.",
    ),
    "history": ("Optimisation history", "The objective of completed trials, in order."),
    "slices": ("Slices", "The objective of completed trials against each searched hyperparameter."),
    "parallel_coordinates": ("Parallel coordinates", "The settings and the objective of completed trials."),
    "importances": ("Importance", "How much each hyperparameter influences whether a trial is good (PED-ANOVA)."),
    "contour": ("Contour", "The objective over two of the searched hyperparameters."),
}
"""The title and the caption of each figure, in order."""

_SAMPLED = ("importances", "contour")  # these include stopped trials if too few trials are complete


@dataclass(frozen=True)
class Figures:
    """The figures of a search.

    Attributes:
        page: HTML page with all figures.
        pictures: PNG of each figure, by name.
        left_out: the reason why each missing figure was skipped, by name.
    """

    page: str
    pictures: dict[str, bytes]
    left_out: dict[str, str]


def draw(ledger: Ledger) -> Figures:
    """Draw all figures of a search for which there are enough trials."""
    from raygenre.search.summary import plotly_figures

    data = SearchData(ledger)
    entries: list[PageFigure] = []
    pictures: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    for name, (title, caption) in TITLES.items():
        reason = _reason(name, data)
        if not reason:
            try:
                plot, pictures[name] = _both(name, data)
                note = data.sample(MIN_TRIALS).note if name in _SAMPLED else ""
                entries.append(
                    plotly_figures.PageFigure(name, title, f"{caption} Shows {note}." if note else caption, plot)
                )
                continue
            except Exception as error:  # noqa: BLE001 (a figure must not make a search fail)
                reason = f"drawing failed ({type(error).__name__}: {error})"
        left_out[name] = reason
        entries.append(plotly_figures.PageFigure(name, title, caption, reason))
    return Figures(plotly_figures.page(f"Search {ledger.name}", entries), pictures, left_out)


def importances(ledger: Ledger) -> dict[str, float]:
    """Return the importance of each searched hyperparameter, as shares of 1; empty if there are too few trials."""
    data = SearchData(ledger)
    return {} if _reason("importances", data) else _importances(data, data.sample(MIN_TRIALS))


def _importances(data: SearchData, sample: Sample) -> dict[str, float]:
    from optuna.importance import get_param_importances  # slow, because it imports scikit-learn

    from raygenre.search.summary import plotly_figures

    return get_param_importances(plotly_figures.study_of(data, sample))


def _reason(name: str, data: SearchData) -> str:
    """Return the reason why a figure cannot be drawn, or an empty string if it can."""
    if name in ("learning_curves", "rungs_over_time"):
        return "" if any(losses(trial) for trial in data.trials) else "no trial has completed an epoch"
    if not data.complete:
        return "no trial is complete"
    if name not in _SAMPLED:
        return ""
    sample = data.sample(MIN_TRIALS)
    if (count := len(sample.trials)) < MIN_TRIALS:
        return f"it needs {MIN_TRIALS} trials that completed or were stopped early, but there are only {count}"
    if not np.ptp(sample.values):
        return "all trials have the same objective"
    if name == "importances" and len(data.axes) < 2:
        return "only one hyperparameter is searched"
    if name == "contour" and len(_ranges(data, sample)) < 2:
        return "the trials differ in fewer than two of the searched ranges"
    return ""


def _ranges(data: SearchData, sample: Sample) -> list[Axis]:
    """Return the axes of the ranges whose values differ between trials, with learning rate and decay first."""
    ranges = [axis for axis in data.axes if not axis.choices and np.ptp(axis.positions(sample.trials))]
    return sorted(ranges, key=lambda axis: axis.name not in ("learning_rate", "decay"))


def _both(name: str, data: SearchData) -> "tuple[Plot, bytes]":
    """Return a figure as an interactive plot for the browser and as a PNG."""
    from raygenre.search.summary import matplotlib_figures, plotly_figures

    sample = data.sample(MIN_TRIALS)
    if name == "importances":
        shares = _importances(data, sample)
        return plotly_figures.importances(shares), _png(
            lambda figure: matplotlib_figures.importances(figure, shares, sample)
        )
    if name == "contour":
        across, up, *_ = _ranges(data, sample)
        plot = plotly_figures.contour(data, sample, across, up)
        return plot, _png(lambda figure: matplotlib_figures.contour(figure, data, sample, across, up))
    plot_of, picture_of = getattr(plotly_figures, name), getattr(matplotlib_figures, name)
    return plot_of(data), _png(lambda figure: picture_of(figure, data))


def _png(draw: "Callable[[Picture], None]") -> bytes:
    from matplotlib.figure import Figure  # pyplot would open windows and keep global state

    from raygenre.search.summary.matplotlib_figures import SIZE

    figure = Figure(figsize=SIZE, layout="constrained")
    draw(figure)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()
