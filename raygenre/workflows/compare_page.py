"""The comparison of runs as one HTML file: settings, metrics, paired tests and learning curves."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from raygenre.evaluation.html_page import figure_url, render_page
from raygenre.evaluation.paired_test import paired_test_text
from raygenre.registry.decision import MAX_P_VALUE
from raygenre.workflows.compare import Match, Subject, differing, shared, unmatched


def comparison_page(subjects: Sequence[Subject], matches: Sequence[Match]) -> str:
    """Return the HTML page."""
    differ, same = differing(subjects)
    values = {
        "names": [subject.name for subject in subjects],
        "settings": [[name, *(setting_text(subject, name) for subject in subjects)] for name in differ],
        "metrics": [
            [name, *(metric_text(subject.values.get(name)) for subject in subjects)]
            for name in shared(subject.values for subject in subjects)
        ],
        "unmatched": unmatched(subjects),
        "matches": [
            (
                match,
                paired_test_text(match.comparison, match.first, match.second, alpha=MAX_P_VALUE)
                if match.comparison
                else "",
            )
            for match in matches
        ],
        "curves": [
            (f"{name.replace('_', ' ')} by epoch", _curve_url(name, subjects))
            for name in shared(subject.curves for subject in subjects)
        ],
        "same": [[name, subjects[0].settings[name]] for name in same],
        "runs": [[subject.name, subject.run_id, subject.model or "–"] for subject in subjects],
    }
    return render_page(Path(__file__).with_name("compare.html.jinja"), values)


def metric_text(value: float | None) -> str:
    """Format a metric: whole numbers with thousands separators, others with four digits, "–" for None."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 1 else f"{value:.4g}"


def setting_text(subject: Subject, name: str) -> str:
    """Format a setting of a subject: long decimals with six digits, "–" if it is missing."""
    text = subject.settings.get(name, "–")
    return f"{float(text):.6g}" if re.fullmatch(r"-?\d+\.\d{7,}(e-?\d+)?", text) else text


def _curve_url(curve: str, subjects: Sequence[Subject]) -> str:
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    figure = Figure(figsize=(6.5, 3.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for subject in subjects:
        if points := subject.curves.get(curve):
            axes.plot(*zip(*points, strict=True), marker=".", label=_plain(subject.name))
    axes.set(xlabel="epoch", ylabel=curve.replace("_", " "))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure_url(figure, "png")


def _plain(name: str) -> str:
    """Escape a label for matplotlib, which renders `$…$` as mathematics and hides labels with a leading `_`."""
    return "\u200b" + name.replace("$", r"\$")
