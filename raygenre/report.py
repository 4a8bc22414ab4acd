"""What a person reads of a candidate: figures, tables and the summary at the end of a search."""

import csv
import io
import math
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from raygenre.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_figure(evaluation: Evaluation) -> "Figure":
    """Draw the confusion matrix: a row a true genre, coloured by the share of its tracks, labelled with counts."""
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

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
    places = range(len(evaluation.genres))
    axes.set_xticks(places, evaluation.genres, rotation=45, ha="right")
    axes.set_yticks(places, evaluation.genres)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    low, high = evaluation.interval
    axes.set_title(f"{evaluation.accuracy:.1%} of {evaluation.tracks} tracks ({low:.1%} to {high:.1%})")
    return figure


def confusion_csv(evaluation: Evaluation) -> str:
    """Return the confusion matrix as CSV: true genre, then counts by predicted genre."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true genre", *evaluation.genres])
    for genre, row in zip(evaluation.genres, evaluation.confusion.tolist(), strict=True):
        writer.writerow([genre, *row])
    return text.getvalue()


def recall_table(evaluation: Evaluation) -> Group:
    """Return accuracy, its interval and the recall of each genre, for the terminal."""
    low, high = evaluation.interval
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(justify="right")
    for genre, recall in evaluation.recall.items():
        share = "no tracks" if math.isnan(recall) else f"{recall:.0%}"
        table.add_row(genre, "█" * round(20 * (0 if math.isnan(recall) else recall)), share)
    head = (
        f"Test accuracy {evaluation.accuracy:.1%} on {evaluation.tracks} tracks (95 % interval {low:.1%} to {high:.1%})"
    )
    return Group(Text(head, style="bold"), Text(_trust(evaluation)), Text("Recall by genre:"), table)


def _trust(evaluation: Evaluation) -> str:
    certain = int(evaluation.certain.sum())
    if not certain:
        return "All of these answers are called uncertain"
    return (
        f"{evaluation.certain_accuracy:.0%} of the {certain} answers with a confidence of at least "
        f"{evaluation.threshold:.0%} are right; the others are called uncertain"
    )
