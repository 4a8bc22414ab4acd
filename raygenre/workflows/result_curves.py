"""Plot learning curves of the original and the improved network against training time."""

import io
from pathlib import Path

from raygenre.workflows.result_rows import ROWS
from raygenre.workflows.results import read

_COLOURS = {"means-time-original": "#CC6677", "means-time-improved": "#4477AA"}


def curves_png(results: Path) -> bytes | None:
    """Return a PNG of both networks' learning curves; None if one of the networks has not been measured yet.

    The networks are trained for about the same time. Each thin line is a single seed, plotted against its own training
    time, which is computed from the median duration of its epochs.

    Args:
        results: folder of the rows' JSON files.
    """
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    rows = {name: read(results, ROWS[name]) for name in _COLOURS}
    if None in rows.values():
        return None
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, content in rows.items():
        assert content
        colour, title = _COLOURS[name], ROWS[name].title.partition(",")[0]
        for number, seed in enumerate(content["seeds"].values()):
            minutes = [epoch * seed["epoch_seconds"] / 60 for epoch in range(1, len(seed["curve"]) + 1)]
            validation, training, accuracy = (
                [epoch[key] for epoch in seed["curve"]]
                for key in ("validation_loss", "train_loss", "validation_accuracy")
            )
            left.plot(minutes, validation, color=colour, linewidth=1, label="" if number else f"{title}, validation")
            left.plot(
                minutes,
                training,
                color=colour,
                linewidth=1,
                linestyle=":",
                label="" if number else f"{title}, training",
            )
            right.plot(minutes, accuracy, color=colour, linewidth=1, label="" if number else title)
    left.set_ylabel("loss")
    right.set_ylabel("validation accuracy")
    right.yaxis.set_major_formatter("{x:.0%}")
    for axes in (left, right):
        axes.set_xlabel("training time in minutes, one core")
        axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
