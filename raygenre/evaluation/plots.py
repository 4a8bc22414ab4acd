"""Figures of an evaluation: confusion matrix and reliability diagram."""

from typing import TYPE_CHECKING

from raygenre.evaluation.metrics import Evaluation, wilson_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_figure(evaluation: Evaluation) -> "Figure":
    """Draw the confusion matrix; cells are labelled with counts and coloured by share of the true genre's tracks."""
    from matplotlib.figure import Figure  # instead of pyplot, which keeps global state and may open windows

    size = 0.55 * len(evaluation.genres) + 2
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    counts = evaluation.confusion
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(counts)):
        for column in range(len(counts)):
            if counts[row, column]:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour)
    positions, names = range(len(evaluation.genres)), [legible(genre) for genre in evaluation.genres]
    axes.set_xticks(positions, names, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(positions, names, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    low, high = evaluation.interval
    axes.set_title(f"{evaluation.accuracy:.1%} of {evaluation.tracks} tracks ({low:.1%} to {high:.1%})")
    return figure


def reliability_figure(evaluation: Evaluation) -> "Figure":
    """Plot accuracy against confidence with 95 % intervals; below it, plot the number of predictions in each bin."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    bins = evaluation.reliability
    width = 1 / len(bins.counts)
    above.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfect calibration")
    for confidence, accuracy, answers in zip(bins.confidence, bins.accuracy, bins.counts, strict=True):
        if answers:
            low, high = wilson_interval(round(accuracy * answers), answers)
            above.plot([confidence, confidence], [low, high], color="#4477AA", linewidth=1)
            above.plot([confidence], [accuracy], "o", color="#4477AA")
    above.axvline(evaluation.threshold, color="#CC6677", linestyle=":", label="confidence threshold")
    above.set_xlim(0, 1)
    above.set_ylim(0, 1)
    above.set_ylabel("accuracy")
    above.legend(loc="upper left")
    above.set_title(f"expected calibration error {bins.error:.3f}")
    middles = [(index + 0.5) * width for index in range(len(bins.counts))]
    below.bar(middles, bins.counts, width=0.9 * width, color="#4477AA")
    below.set_xlabel("confidence")
    below.set_ylabel("predictions")
    return figure


def legible(name: str) -> str:
    """Replace each character that matplotlib's font lacks with a box, so that matplotlib prints no warning."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    glyphs = get_font(findfont(FontProperties())).get_charmap()
    return "".join(character if ord(character) in glyphs else "□" for character in name)
