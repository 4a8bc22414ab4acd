"""The figures of a search as PNGs, drawn by matplotlib without its global state.

The better a completed trial is, the darker its colour. Stopped trials are grey, and failed trials are red.
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
from raygenre.system.numbers import loss_text

SIZE = (7.2, 4.2)  # inches, at 100 dots per inch
STOPPED, FAILED, RUNG = "0.7", "#c0392b", "0.85"
BEST = "#1b6ca8"
COLUMNS = 3  # panels in a row

Colour = tuple[float, float, float, float]


def learning_curves(figure: Figure, data: SearchData) -> None:
    """Draw the validation loss by epoch."""
    axes = _axes(figure, "epoch", "validation loss")
    for trials, style in ((data.stopped, STOPPED), (data.failed, FAILED)):
        for trial in trials:
            _curve(axes, losses(trial), style)
    best = data.ledger.top(1)
    for trial, colour in zip(data.complete, _colours(data), strict=True):
        if trial not in best:
            _curve(axes, losses(trial), colour)
    for trial in best:
        _curve(axes, losses(trial), BEST, width=2.2, label=f"trial {trial.number} (best)")
    _legend(axes, data)


def rungs_over_time(figure: Figure, data: SearchData) -> None:
    """Draw the epochs of each trial over time."""
    axes = _axes(figure, "minutes since the start", "epoch")
    if data.config.scheduler == "asha":
        for rung in rungs(data.config):
            axes.axhline(rung, color=RUNG, linestyle="--", linewidth=1, zorder=0)
    for trials, colours in (
        (data.complete, _colours(data)),
        (data.stopped, [STOPPED] * len(data.stopped)),
        (data.failed, [FAILED] * len(data.failed)),
    ):
        for trial, colour in zip(trials, colours, strict=True):
            minutes, epochs = data.progress(trial)
            axes.plot(minutes, epochs, color=colour, linewidth=1.2)
            marker = "o" if trial in data.complete else "x"
            axes.plot(minutes[-1:], epochs[-1:], marker, color=colour, markersize=5)
    if _label_states(axes, data):
        figure.legend(frameon=False, loc="outside upper right", ncols=2)


def history(figure: Figure, data: SearchData) -> None:
    """Draw the objective of each trial, and the best value so far."""
    axes = _axes(figure, "trial", data.objective)
    numbers = [trial.number for trial in data.complete]
    best = (np.minimum if data.minimised else np.maximum).accumulate(data.values)
    axes.step(numbers, best, where="post", color=BEST, linewidth=1.6, label="best so far")
    axes.scatter(numbers, data.values, c=_colours(data), s=28, zorder=3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def slices(figure: Figure, data: SearchData) -> None:
    """Draw the objective of completed trials against each searched hyperparameter."""
    rows = -(-len(data.axes) // COLUMNS)
    figure.set_size_inches(SIZE[0], SIZE[1] * (1 + 0.7 * (rows - 1)))
    for index, axis in enumerate(data.axes):
        axes = figure.add_subplot(rows, min(len(data.axes), COLUMNS), index + 1)
        axes.scatter(axis.positions(data.complete), data.values, c=_colours(data), s=28)
        axes.set_xlabel(axis.label)
        _scale(axes.set_xticks, axis)
        if index % COLUMNS:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(data.objective)


def parallel_coordinates(figure: Figure, data: SearchData) -> None:
    """Draw a line for each trial through its settings and its objective."""
    axes = figure.add_subplot()
    count = len(data.axes)
    trials = [*data.stopped, *data.complete]
    positions = np.column_stack([_share(axis.positions(trials), *axis.bounds) for axis in data.axes])
    low, high = data.values.min(), data.values.max()
    objective = _share(data.values, low, high)
    lines: list[Floats] = []
    for row, height in zip(positions, [None] * len(data.stopped) + objective.tolist(), strict=True):
        heights = [*row, *([] if height is None else [height])]
        lines.append(np.column_stack([np.arange(len(heights)), heights]))
    colours = [STOPPED] * len(data.stopped) + _colours(data)
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=1.4))
    for index, axis in enumerate(data.axes):
        _upright(axes, index, [_text(axis, bound) for bound in axis.bounds])
    _upright(axes, count, [loss_text(low), loss_text(high)])
    axes.set_xticks(range(count + 1), [*(axis.label for axis in data.axes), data.objective])
    axes.set_xlim(-0.35, count + 0.35)
    axes.set_ylim(-0.1, 1.1)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    if data.stopped:
        axes.plot([], [], color=STOPPED, label=f"{len(data.stopped)} stopped")
        figure.legend(frameon=False, loc="outside upper right")


def importances(figure: Figure, shares: dict[str, float], sample: Sample) -> None:
    """Draw how much each hyperparameter influences whether a trial is good."""
    axes = _axes(figure, "importance", "")
    names = list(reversed(shares))
    bars = axes.barh([name.replace("_", " ") for name in names], [shares[name] for name in names], color=BEST)
    axes.bar_label(bars, fmt="%.2f", padding=4)
    axes.set_xlim(0, max(1.12 * max(shares.values()), 0.01))
    _caption(axes, sample)


def contour(figure: Figure, data: SearchData, sample: Sample, across: Axis, up: Axis) -> None:
    """Draw the objective over two of the searched hyperparameters; crosses mark trials that were stopped early."""
    axes = _axes(figure, across.label, up.label)
    right, top = across.positions(sample.trials), up.positions(sample.trials)
    shades = colormaps["Blues_r" if data.minimised else "Blues"]
    filled = axes.tricontourf(right, top, sample.values, levels=12, cmap=shades)
    figure.colorbar(filled, ax=axes, label=data.objective)
    complete = len(sample.trials) - sample.stopped
    axes.scatter(right[:complete], top[:complete], color="black", s=18)
    if sample.stopped:
        axes.scatter(right[complete:], top[complete:], color="0.3", marker="x", s=26, label="stopped early")
    _caption(axes, sample)
    [best] = data.ledger.top(1)
    axes.scatter(
        across.positions([best]), up.positions([best]), marker="*", color="#f39c12", s=180, zorder=3, label="best"
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


def _caption(axes: Axes, sample: Sample) -> None:
    """Above the plot, state how many of the sample's trials were stopped early."""
    if sample.note:
        axes.set_title(sample.note, fontsize="small", color="0.35")


def _curve(axes: Axes, curve: dict[int, float], colour: str | Colour, *, width: float = 1.2, label: str = "") -> None:
    marker = "o" if len(curve) == 1 else None
    axes.plot(list(curve), list(curve.values()), color=colour, linewidth=width, marker=marker, label=label or None)


def _legend(axes: Axes, data: SearchData) -> None:
    _label_states(axes, data)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _label_states(axes: Axes, data: SearchData) -> bool:
    """Add the stopped and the failed trials to the legend; return whether there are any."""
    for trials, colour, state in ((data.stopped, STOPPED, "stopped"), (data.failed, FAILED, "failed")):
        if trials:
            axes.plot([], [], color=colour, label=f"{len(trials)} {state}")
    return bool(data.stopped or data.failed)


def _colours(data: SearchData) -> list[Colour]:
    """Return a colour for each completed trial by rank, from dark for the best to light for the worst."""
    if not data.complete:
        return []
    ranks = np.argsort(np.argsort(data.values if data.minimised else -data.values))
    return [colormaps["viridis"](float(rank)) for rank in 0.85 * ranks / max(len(ranks) - 1, 1)]


def _share(values: Floats, low: float, high: float) -> Floats:
    return (values - low) / (high - low) if high > low else np.full(len(values), 0.5)


def _scale(set_ticks: Callable[[list[float], list[str]], object], axis: Axis) -> None:
    """Label the ticks with values if positions are logarithms or indices of choices."""
    if axis.choices:
        set_ticks([float(index) for index in range(len(axis.choices))], list(axis.choices))
    elif axis.log:
        low, high = axis.bounds
        positions = np.linspace(low, high, 3).tolist()
        set_ticks(positions, [_text(axis, position) for position in positions])


def _text(axis: Axis, position: float) -> str:
    if axis.choices:
        return axis.choices[round(position)]
    value = 10**position if axis.log else position
    return f"{round(value)}" if axis.integer else f"{value:.2g}"


def _upright(axes: Axes, position: float, ends: list[str]) -> None:
    """Draw a vertical axis of the parallel-coordinates plot, and label its ends with their values."""
    axes.plot([position, position], [0, 1], color="0.3", linewidth=1)
    for height, text, side in ((0.0, ends[0], "top"), (1.0, ends[1], "bottom")):
        axes.annotate(
            text, (position, height), (0, -3 if height == 0 else 3), textcoords="offset points", ha="center", va=side
        )
