"""Formats an evaluation as lines of text, a CSV of the confusion matrix, or JSON."""

import json
import math
from collections.abc import Mapping
from typing import Any

from raygenre.evaluation.evaluate import EvaluationReport, Side
from raygenre.evaluation.metrics import Evaluation
from raygenre.system.csv_text import csv_text

_TITLES: Mapping[Side, str] = {"test": "Test accuracy", "train": "Accuracy on training tracks", "all": "Accuracy"}


def confusion_csv(evaluation: Evaluation) -> str:
    """Return the confusion matrix as CSV: a row for each true genre, a column for each predicted genre."""
    rows = zip(evaluation.genres, evaluation.confusion.tolist(), strict=True)
    return csv_text([["true genre", *evaluation.genres], *([genre, *counts] for genre, counts in rows)])


def accuracy_text(evaluation: Evaluation, side: Side = "test") -> str:
    """Return the accuracy with its interval and the number of tracks."""
    low, high = evaluation.interval
    interval = f"95 % interval {low:.1%} to {high:.1%}"
    return f"{_TITLES[side]} {evaluation.accuracy:.1%} on {evaluation.tracks} tracks ({interval})"


def certainty_text(evaluation: Evaluation) -> str:
    """Return a line that states how many of the predictions above the confidence threshold are correct."""
    certain = int(evaluation.certain.sum())
    if not certain:
        return f"No prediction reaches the confidence threshold of {evaluation.threshold:.0%}; all are uncertain"
    return (
        f"{evaluation.certain_accuracy:.0%} of the {certain} predictions with a confidence of at least "
        f"{evaluation.threshold:.0%} are correct; the others are called uncertain"
    )


def report_json(report: EvaluationReport) -> str:
    """Return `report_fields` as JSON text."""
    return json.dumps(report_fields(report), indent=1, allow_nan=False)


def report_fields(report: EvaluationReport) -> dict[str, Any]:
    """Return a report as JSON values: the metrics for all tracks and each slice, and each track's probabilities."""
    return _fields(report.evaluation) | {
        "own_test": report.own_test,
        "warnings": list(report.warnings),
        "slices": {name: _fields(part) for name, part in report.slices},
        "slices_of_all_or_none": {name: "all" if every else "none" for name, every in report.uniform},
        "mistakes": [
            {
                "track": mistake.track,
                "genre": mistake.true_genre,
                "named": mistake.predicted_genre,
                "confidence": mistake.confidence,
                "slices": list(mistake.slices),
            }
            for mistake in report.mistakes
        ],
        "answers": {
            track: dict(zip(report.evaluation.genres, row, strict=True))
            for track, row in zip(report.tracks, report.evaluation.probabilities.tolist(), strict=True)
        },
    }


def _fields(evaluation: Evaluation) -> dict[str, Any]:
    genres = {
        score.genre: {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in vars(score).items()
            if name != "genre"
        }
        for score in evaluation.scores
    }
    bins = evaluation.reliability
    filled_bins = [
        {"answers": answers, "confidence": confidence, "right": right}
        for answers, confidence, right in zip(bins.counts, bins.confidence, bins.accuracy, strict=True)
        if answers
    ]
    return {
        "tracks": evaluation.tracks,
        **evaluation.metrics(),
        "genres": genres,
        "confusion": evaluation.confusion.tolist(),
        "reliability": filled_bins,
    }
