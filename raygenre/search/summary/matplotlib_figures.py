"""The figures of a search as pictures, drawn by matplotlib without its global state.

Everywhere, the darker a complete trial the better it is; trials that were stopped are grey, and failed ones red.
"""

from collections.abc import Callable

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raygenre.search.study.ledger import losses
from raygenre.search.summary.figure_data import Axis, Floats, Sample, SearchData
from raygenre.search.trials.scheduler import rungs

SIZE = (7.2, 4.2)  # inches, at 100 points an inch
STOPPED, FAILED, RUNG = "0.7", "#c0392b", "0.85"
BEST = "#1b6ca8"
ABREAST = 3  # panels in a row

Colour = tuple[float, float, float, float]


def learning_curves(figure: Figure, view: SearchData) -> None:
    """Validation loss by epoch."""
    axes = _axes(figure, "epoch", "validation loss")
    for trials, style in ((view.stopped, STOPPED), (view.failed, FAILED)):
        for trial in trials:
            _curve(axes, losses(trial), style)
    best = view.ledger.top(1)
    for trial, colour in zip(view.complete, _colours(view), strict=True):
        if trial not in best:
            _curve(axes, losses(trial), colour)
    for trial in best:
        _curve(axes, losses(trial), BEST, width=2.2, label=f"trial {trial.number}, the best")
    _legend(axes, view)


def rungs_over_time(figure: Figure, view: SearchData) -> None:
    """Which trial had how many epochs when."""
    axes = _axes(figure, "minutes since the search began", "epoch")
    if view.config.scheduler == "asha":
        for rung in rungs(view.config):
            axes.axhline(rung, color=RUNG, linestyle="--", linewidth=1, zorder=0)
    for trials, colours in (
        (view.complete, _colours(view)),
        (view.stopped, [STOPPED] * len(view.stopped)),
        (view.failed, [FAILED] * len(view.failed)),
    ):
        for trial, colour in zip(trials, colours, strict=True):
            minutes, epochs = view.progress(trial)
            axes.plot(minutes, epochs, color=colour, linewidth=1.2)
            marker = "o" if trial in view.complete else "x"
            axes.plot(minutes[-1:], epochs[-1:], marker, color=colour, markersize=5)
    if _words_for_states(axes, view):
        figure.legend(frameon=False, loc="outside upper right", ncols=2)


def history(figure: Figure, view: SearchData) -> None:
    """What each trial was worth, and the best until then."""
    axes = _axes(figure, "trial", view.worth)
    numbers = [trial.number for trial in view.complete]
    best = (np.minimum if view.minimised else np.maximum).accumulate(view.values)
    axes.step(numbers, best, where="post", color=BEST, linewidth=1.6, label="best so far")
    axes.scatter(numbers, view.values, c=_colours(view), s=28, zorder=3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def slices(figure: Figure, view: SearchData) -> None:
    """What complete trials were worth, against each of the searched values."""
    rows = -(-len(view.axes) // ABREAST)
    figure.set_size_inches(SIZE[0], SIZE[1] * (1 + 0.7 * (rows - 1)))
    for place, axis in enumerate(view.axes):
        axes = figure.add_subplot(rows, min(len(view.axes), ABREAST), place + 1)
        axes.scatter(axis.places(view.complete), view.values, c=_colours(view), s=28)
        axes.set_xlabel(axis.label)
        _scale(axes.set_xticks, axis)
        if place % ABREAST:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(view.worth)


def parallel_coordinates(figure: Figure, view: SearchData) -> None:
    """A line a trial through its settings and what it was worth."""
    axes = figure.add_subplot()
    count = len(view.axes)
    trials = [*view.stopped, *view.complete]
    places = np.column_stack([_share(axis.places(trials), *axis.bounds) for axis in view.axes])
    low, high = view.values.min(), view.values.max()
    worth = _share(view.values, low, high)
    lines: list[Floats] = []
    for row, height in zip(places, [None] * len(view.stopped) + worth.tolist(), strict=True):
        heights = [*row, *([] if height is None else [height])]
        lines.append(np.column_stack([np.arange(len(heights)), heights]))
    colours = [STOPPED] * len(view.stopped) + _colours(view)
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=1.4))
    for place, axis in enumerate(view.axes):
        _ladder(axes, place, [_words(axis, bound) for bound in axis.bounds])
    _ladder(axes, count, [f"{low:.3f}", f"{high:.3f}"])
    axes.set_xticks(range(count + 1), [*(axis.label for axis in view.axes), view.worth])
    axes.set_xlim(-0.35, count + 0.35)
    axes.set_ylim(-0.1, 1.1)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    if view.stopped:
        axes.plot([], [], color=STOPPED, label=f"{len(view.stopped)} stopped")
        figure.legend(frameon=False, loc="outside upper right")


def importances(figure: Figure, shares: dict[str, float], sample: Sample) -> None:
    """How much of the differences of the sample's trials each searched value explains."""
    axes = _axes(figure, "importance", "")
    names = list(reversed(shares))
    bars = axes.barh([name.replace("_", " ") for name in names], [shares[name] for name in names], color=BEST)
    axes.bar_label(bars, fmt="%.2f", padding=4)
    axes.set_xlim(0, max(1.12 * max(shares.values()), 0.01))
    _say(axes, sample)


def contour(figure: Figure, view: SearchData, sample: Sample, across: Axis, up: Axis) -> None:
    """What the sample's trials were worth over two of the searched values; a cross was stopped early."""
    axes = _axes(figure, across.label, up.label)
    right, top = across.places(sample.trials), up.places(sample.trials)
    shades = colormaps["Blues_r" if view.minimised else "Blues"]
    filled = axes.tricontourf(right, top, sample.values, levels=12, cmap=shades)
    figure.colorbar(filled, ax=axes, label=view.worth)
    whole = len(sample.trials) - sample.stopped
    axes.scatter(right[:whole], top[:whole], color="black", s=18)
    if sample.stopped:
        axes.scatter(right[whole:], top[whole:], color="0.3", marker="x", s=26, label="stopped early")
    _say(axes, sample)
    [best] = view.ledger.top(1)
    axes.scatter(
        across.places([best]), up.places([best]), marker="*", color="#f39c12", s=180, zorder=3, label="the best"
    )
    for set_ticks, axis in ((axes.set_xticks, across), (axes.set_yticks, up)):
        _scale(set_ticks, axis)
    axes.legend(frameon=False, loc="upper right")


def _axes(figure: Figure, across: str, up: str) -> Axes:
    axes = figure.add_subplot()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _say(axes: Axes, sample: Sample) -> None:
    """Say above the drawing that not all of its trials ran to their end."""
    if sample.note:
        axes.set_title(sample.note, fontsize="small", color="0.35")


def _curve(axes: Axes, curve: dict[int, float], colour: str | Colour, *, width: float = 1.2, label: str = "") -> None:
    marker = "o" if len(curve) == 1 else None
    axes.plot(list(curve), list(curve.values()), color=colour, linewidth=width, marker=marker, label=label or None)


def _legend(axes: Axes, view: SearchData) -> None:
    _words_for_states(axes, view)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _words_for_states(axes: Axes, view: SearchData) -> bool:
    """Make entries of a legend; returns whether there are any."""
    for trials, colour, word in ((view.stopped, STOPPED, "stopped"), (view.failed, FAILED, "failed")):
        if trials:
            axes.plot([], [], color=colour, label=f"{len(trials)} {word}")
    return bool(view.stopped or view.failed)


def _colours(view: SearchData) -> list[Colour]:
    """From dark for the best to light for the worst, by rank."""
    if not view.complete:
        return []
    ranks = np.argsort(np.argsort(view.values if view.minimised else -view.values))
    return [colormaps["viridis"](float(rank)) for rank in 0.85 * ranks / max(len(ranks) - 1, 1)]


def _share(values: Floats, low: float, high: float) -> Floats:
    return (values - low) / (high - low) if high > low else np.full(len(values), 0.5)


def _scale(set_ticks: Callable[[list[float], list[str]], object], axis: Axis) -> None:
    """Marks that say the values themselves, where places are logarithms or numbers of choices."""
    if axis.choices:
        set_ticks([float(place) for place in range(len(axis.choices))], list(axis.choices))
    elif axis.log:
        low, high = axis.bounds
        places = np.linspace(low, high, 3).tolist()
        set_ticks(places, [_words(axis, place) for place in places])


def _words(axis: Axis, place: float) -> str:
    if axis.choices:
        return axis.choices[round(place)]
    value = 10**place if axis.log else place
    return f"{round(value)}" if axis.whole else f"{value:.2g}"


def _ladder(axes: Axes, place: float, ends: list[str]) -> None:
    """One upright axis of parallel coordinates, with what its ends are."""
    axes.plot([place, place], [0, 1], color="0.3", linewidth=1)
    for height, word, side in ((0.0, ends[0], "top"), (1.0, ends[1], "bottom")):
        axes.annotate(
            word, (place, height), (0, -3 if height == 0 else 3), textcoords="offset points", ha="center", va=side
        )
