"""The comparison of runs as an HTML file: settings, metrics, tests and learning curves."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from raygenre.evaluation.html_page import figure_url, render_page
from raygenre.evaluation.paired_test import paired_test_text
from raygenre.registry.decision import MAX_P_VALUE
from raygenre.registry.run_summary import RunSummary
from raygenre.workflows.compare import PairResult, all_names, split_metrics, split_settings, unpaired_reason

_MAX_EXACT = 1e15  # larger whole numbers are rounded measurements, not counts


def comparison_page(runs: Sequence[RunSummary], pairs: Sequence[PairResult]) -> str:
    """Return the comparison as an HTML page."""
    differing, same = split_settings(runs)
    main, others = split_metrics(runs)
    values = {
        "names": [run.name for run in runs],
        "settings": [[name, *(setting_text(run, name) for run in runs)] for name in differing],
        "metrics": _metric_rows(runs, main),
        "other_metrics": _metric_rows(runs, others),
        "unpaired": unpaired_reason(runs),
        "pairs": [
            (
                pair,
                paired_test_text(pair.comparison, pair.first, pair.second, alpha=MAX_P_VALUE)
                if pair.comparison
                else "",
            )
            for pair in pairs
        ],
        "curves": [
            (f"{name.replace('_', ' ')} by epoch", _curve_url(name, runs))
            for name in all_names(run.curves for run in runs)
        ],
        "same": [[name, runs[0].settings[name]] for name in same],
        "runs": [[run.name, run.run_id, run.model or "–"] for run in runs],
    }
    return render_page(Path(__file__).with_name("compare.html.jinja"), values)


def metric_text(value: float | None) -> str:
    """Format a metric: whole numbers with thousands separators, others with four digits, None as "–".

    Numbers with more than 15 digits are not exact, so they too are rounded to four digits.
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if value == int(value) and 1 <= abs(value) < _MAX_EXACT else f"{value:.4g}"


def setting_text(run: RunSummary, name: str) -> str:
    """Format a setting of a run: long decimals with six digits, a missing setting as "–"."""
    text = run.settings.get(name, "–")
    return f"{float(text):.6g}" if re.fullmatch(r"-?\d+\.\d{7,}(e-?\d+)?", text) else text


def _metric_rows(runs: Sequence[RunSummary], names: Sequence[str]) -> list[list[str]]:
    return [[name, *(metric_text(run.values.get(name)) for run in runs)] for name in names]


def _curve_url(curve: str, runs: Sequence[RunSummary]) -> str:
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    figure = Figure(figsize=(6.5, 3.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for run in runs:
        if points := run.curves.get(curve):
            axes.plot(*zip(*points, strict=True), marker=".", label=_plain(run.name))
    axes.set(xlabel="epoch", ylabel=curve.replace("_", " "))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure_url(figure, "png")


def _plain(name: str) -> str:
    """Escape a label for matplotlib, which renders `$…$` as mathematics and hides labels that start with `_`."""
    return "\u200b" + name.replace("$", r"\$")
