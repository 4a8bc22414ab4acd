"""What a person reads of a candidate: figures, tables and the summary at the end of a search."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from raygenre.evaluation.evaluate import EvaluationReport, Side
from raygenre.evaluation.metrics import Evaluation

if TYPE_CHECKING:
    pass

_HEADS: Mapping[Side, str] = {"test": "Test accuracy", "train": "Accuracy on training tracks", "all": "Accuracy"}


def confusion_csv(evaluation: Evaluation) -> str:
    """Return the confusion matrix as CSV: true genre, then counts by predicted genre."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true genre", *evaluation.genres])
    for genre, row in zip(evaluation.genres, evaluation.confusion.tolist(), strict=True):
        writer.writerow([genre, *row])
    return text.getvalue()


def recall_table(evaluation: Evaluation, side: Side = "test") -> Group:
    """Return accuracy, its interval and the recall of each genre, for the terminal."""
    low, high = evaluation.interval
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(justify="right")
    for genre, recall in evaluation.recall.items():
        share = "no tracks" if math.isnan(recall) else f"{recall:.0%}"
        table.add_row(genre, "█" * round(20 * (0 if math.isnan(recall) else recall)), share)
    sure = f"95 % interval {low:.1%} to {high:.1%}"
    head = f"{_HEADS[side]} {evaluation.accuracy:.1%} on {evaluation.tracks} tracks ({sure})"
    return Group(Text(head, style="bold"), Text(_trust(evaluation)), Text("Recall by genre:"), table)


def slice_table(slices: Sequence[tuple[str, Evaluation]], uniform: Sequence[tuple[str, bool]] = ()) -> Table:
    """Return accuracy and interval of each slice, and those that hold all of the tracks or none, for the terminal."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("slice")
    for column in ("tracks", "accuracy", "95 % interval", "macro F1"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, part in slices:
        low, high = part.interval
        table.add_row(
            name, str(part.tracks), f"{part.accuracy:.1%}", f"{low:.1%} to {high:.1%}", f"{part.macro_f1:.3f}"
        )
    for name, every in uniform:
        table.add_row(name, "all" if every else "none", "", "", "")
    return table


def _trust(evaluation: Evaluation) -> str:
    certain = int(evaluation.certain.sum())
    if not certain:
        return "All of these answers are called uncertain"
    return (
        f"{evaluation.certain_accuracy:.0%} of the {certain} answers with a confidence of at least "
        f"{evaluation.threshold:.0%} are right; the others are called uncertain"
    )


def appraisal_json(appraisal: EvaluationReport) -> str:
    """Return `record` as text."""
    return json.dumps(record(appraisal), indent=1, allow_nan=False)


def record(appraisal: EvaluationReport) -> dict[str, Any]:
    """Return all numbers of an appraisal as JSON can hold them: of all tracks, of each slice, and each answer."""
    return _numbers(appraisal.evaluation) | {
        "own_test": appraisal.own_test,
        "warnings": list(appraisal.warnings),
        "slices": {name: _numbers(part) for name, part in appraisal.slices},
        "slices_of_all_or_none": {name: "all" if every else "none" for name, every in appraisal.uniform},
        "mistakes": [
            {
                "track": mistake.track,
                "genre": mistake.true,
                "named": mistake.named,
                "confidence": mistake.confidence,
                "slices": list(mistake.slices),
            }
            for mistake in appraisal.mistakes
        ],
        "answers": {
            track: dict(zip(appraisal.evaluation.genres, row, strict=True))
            for track, row in zip(appraisal.tracks, appraisal.evaluation.probabilities.tolist(), strict=True)
        },
    }


def _numbers(evaluation: Evaluation) -> dict[str, Any]:
    genres = {
        score.genre: {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in vars(score).items()
            if name != "genre"
        }
        for score in evaluation.scores
    }
    bins = evaluation.reliability
    filled = [
        {"answers": answers, "confidence": confidence, "right": right}
        for answers, confidence, right in zip(bins.counts, bins.confidence, bins.accuracy, strict=True)
        if answers
    ]
    return {
        "tracks": evaluation.tracks,
        **evaluation.numbers(),
        "genres": genres,
        "confusion": evaluation.confusion.tolist(),
        "reliability": filled,
    }
