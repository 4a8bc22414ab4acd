"""The figures of a search: one interactive page, and a picture of each for those who cannot open it.

A figure for which there is too little to draw is left out, and the page says why.
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

    from raygenre.search.summary.plotly_figures import Entry

FOLDER = "figures"
PAGE = f"{FOLDER}/all.html"
FEWEST = 4  # trials that a surface, or a share of each value in the differences, can be told from

TITLES = {
    "learning_curves": ("Learning curves", "The validation loss of every trial; grey ones were stopped."),
    "rungs_over_time": (
        "Rungs over time",
        "Which trial had how many epochs when; trials are compared at dashed lines.",
    ),
    "history": ("Optimisation history", "What complete trials were worth, one after the other."),
    "slices": ("Slices", "What complete trials were worth, by each searched value."),
    "parallel_coordinates": ("Parallel coordinates", "The settings of complete trials, and what they were worth."),
    "importances": ("Importance", "How much each searched value decides whether a trial is good (PED-ANOVA)."),
    "contour": ("Contour", "What trials were worth over two of the values."),
}
"""Of each figure, in order: its title, and what it shows."""

_SAMPLED = ("importances", "contour")  # of trials that were stopped as well, where too few ran to their end


@dataclass(frozen=True)
class Figures:
    """What was drawn of a search.

    Attributes:
        page: HTML with all of them.
        pictures: PNGs by name.
        left_out: by name, why there is no such figure.
    """

    page: str
    pictures: dict[str, bytes]
    left_out: dict[str, str]


def draw(ledger: Ledger) -> Figures:
    """Draw what can be drawn of a search."""
    from raygenre.search.summary import plotly_figures

    view = SearchData(ledger)
    entries: list[Entry] = []
    pictures: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    for name, (title, what) in TITLES.items():
        reason = _reason(name, view)
        if not reason:
            try:
                plot, pictures[name] = _both(name, view)
                note = view.sample(FEWEST).note if name in _SAMPLED else ""
                entries.append(plotly_figures.Entry(name, title, f"{what} Of {note}." if note else what, plot))
                continue
            except Exception as error:  # noqa: BLE001 (no figure is worth a search)
                reason = f"it cannot be drawn ({type(error).__name__}: {error})"
        left_out[name] = reason
        entries.append(plotly_figures.Entry(name, title, what, reason))
    return Figures(plotly_figures.page(f"Search {ledger.name}", entries), pictures, left_out)


def _reason(name: str, view: SearchData) -> str:
    """Why there is too little for a figure; nothing if there is enough."""
    if name in ("learning_curves", "rungs_over_time"):
        return "" if any(losses(trial) for trial in view.trials) else "no trial had a single epoch"
    if not view.complete:
        return "no trial had all its epochs"
    if name not in _SAMPLED:
        return ""
    sample = view.sample(FEWEST)
    if (count := len(sample.trials)) < FEWEST:
        return f"only {count} of the trials had all their epochs or were stopped early, and {FEWEST} are needed"
    if not np.ptp(sample.values):
        return "all of the trials are worth the same"
    if name == "importances" and len(view.axes) < 2:
        return "a single value is searched"
    if name == "contour" and len(_ranges(view, sample)) < 2:
        return "fewer than two of the searched values are ranges in which trials differ"
    return ""


def _ranges(view: SearchData, sample: Sample) -> list[Axis]:
    """The ranges in which trials differ, learning rate and decay first."""
    ranges = [axis for axis in view.axes if not axis.choices and np.ptp(axis.places(sample.trials))]
    return sorted(ranges, key=lambda axis: axis.name not in ("learning_rate", "decay"))


def _both(name: str, view: SearchData) -> "tuple[Plot, bytes]":
    """A figure for the browser and as a picture."""
    from raygenre.search.summary import matplotlib_figures, plotly_figures

    sample = view.sample(FEWEST)
    if name == "importances":
        from optuna.importance import get_param_importances  # which brings scikit-learn along: a second of every start

        shares = get_param_importances(plotly_figures.study_of(view, sample))
        return plotly_figures.importances(shares), _png(
            lambda figure: matplotlib_figures.importances(figure, shares, sample)
        )
    if name == "contour":
        across, up, *_ = _ranges(view, sample)
        plot = plotly_figures.contour(view, sample, across, up)
        return plot, _png(lambda figure: matplotlib_figures.contour(figure, view, sample, across, up))
    plot_of, picture_of = getattr(plotly_figures, name), getattr(matplotlib_figures, name)
    return plot_of(view), _png(lambda figure: picture_of(figure, view))


def _png(draw: "Callable[[Picture], None]") -> bytes:
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    from raygenre.search.summary.matplotlib_figures import SIZE

    figure = Figure(figsize=SIZE, layout="constrained")
    draw(figure)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()
