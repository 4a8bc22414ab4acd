"""The figures of a search: one interactive page, and a picture of each for those who cannot open it.

A figure for which there is too little to draw is left out, and the page says why.
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raygenre.search.axes import Axis, View
from raygenre.search.ledger import Ledger, losses

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture
    from plotly.graph_objects import Figure as Plot

    from raygenre.search.interactive import Entry

FOLDER = "figures"
PAGE = f"{FOLDER}/all.html"
FEWEST = 4  # complete trials that a surface, or a share of each value in the differences, can be told from

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
    "contour": ("Contour", "What complete trials were worth over two of the values."),
}
"""Of each figure, in order: its title, and what it shows."""


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
    from raygenre.search import interactive

    view = View(ledger)
    entries: list[Entry] = []
    pictures: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    for name, (title, what) in TITLES.items():
        reason = _reason(name, view)
        if not reason:
            try:
                plot, pictures[name] = _both(name, view)
                entries.append(interactive.Entry(name, title, what, plot))
                continue
            except Exception as error:  # noqa: BLE001 (no figure is worth a search)
                reason = f"it cannot be drawn ({type(error).__name__}: {error})"
        left_out[name] = reason
        entries.append(interactive.Entry(name, title, what, reason))
    return Figures(interactive.page(f"Search {ledger.name}", entries), pictures, left_out)


def _reason(name: str, view: View) -> str:
    """Why there is too little for a figure; nothing if there is enough."""
    count = len(view.complete)
    if name in ("learning_curves", "rungs_over_time"):
        return "" if any(losses(trial) for trial in view.trials) else "no trial had a single epoch"
    if not count:
        return "no trial had all its epochs"
    if name in ("importances", "contour"):
        if count < FEWEST:
            return f"only {count} of the trials had all their epochs, and {FEWEST} are needed"
        if not np.ptp(view.values):
            return "all complete trials are worth the same"
    if name == "importances" and len(view.axes) < 2:
        return "a single value is searched"
    if name == "contour" and _pair(view) is None:
        return "fewer than two of the searched values are ranges in which complete trials differ"
    return ""


def _pair(view: View) -> tuple[Axis, Axis] | None:
    """Learning rate and decay, or else the first two ranges."""
    ranges = [axis for axis in view.axes if not axis.choices and np.ptp(axis.places(view.complete))]
    ranges.sort(key=lambda axis: axis.name not in ("learning_rate", "decay"))
    return (ranges[0], ranges[1]) if len(ranges) > 1 else None


def _both(name: str, view: View) -> "tuple[Plot, bytes]":
    """A figure for the browser and as a picture."""
    from raygenre.search import drawings, interactive

    if name == "importances":
        shares = _shares(view)
        return interactive.importances(shares), _png(lambda figure: drawings.importances(figure, shares))
    if name == "contour":
        pair = _pair(view)
        assert pair
        return interactive.contour(view, *pair), _png(lambda figure: drawings.contour(figure, view, *pair))
    plot, picture = getattr(interactive, name), getattr(drawings, name)
    return plot(view), _png(lambda figure: picture(figure, view))


def _shares(view: View) -> dict[str, float]:
    from optuna.importance import get_param_importances  # which brings scikit-learn along: a second of every start

    sign = 1 if view.minimised else -1
    with warnings.catch_warnings():  # that low values are taken for good ones, which the sign sees to
        warnings.simplefilter("ignore", UserWarning)
        return get_param_importances(view.ledger.study, target=lambda trial: sign * float(trial.values[0]))


def _png(draw: "Callable[[Picture], None]") -> bytes:
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    from raygenre.search.drawings import SIZE

    figure = Figure(figsize=SIZE, layout="constrained")
    draw(figure)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()
