"""Runs beside each other as one HTML file, which asks nothing of anyone: pictures are in it, and there is no script.

Whatever a person or a file system may have named is escaped.
"""

import io
import math
import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape

from raygenre.evaluation.paired_test import paired_test_text
from raygenre.registry.run_summary import RunSummary
from raygenre.workflows.compare import PairResult, all_names, split_settings, unpaired_reason

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid #8886; padding: .25rem .8rem; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; }
figure { margin: 0 0 1rem; } img { background: white; height: auto; max-width: 100%; }
"""


def page(subjects: Sequence[RunSummary], matches: Sequence[PairResult]) -> str:
    """Return the page."""
    differ, same = split_settings(subjects)
    names = [one.name for one in subjects]
    metrics = all_names(one.values for one in subjects)
    parts = [
        f"<h1>{escape(' and '.join(names))}</h1>",
        "<h2>Settings that differ</h2>",
        _table(["setting", *names], [[name, *(setting(one, name) for one in subjects)] for name in differ])
        if differ
        else "<p>None.</p>",
        "<h2>In the end</h2>",
        _table(
            ["metric", *names],
            [[name, *(number(one.values.get(name)) for one in subjects)] for name in metrics],
            numbers=True,
        ),
        "<h2>On the same tracks</h2>",
        *(_matches(matches) if matches else [f"<p>{escape(unpaired_reason(subjects))}.</p>"]),
        "<h2>Learning curves</h2>",
        *(_figure(curve, subjects) for curve in all_names(one.curves for one in subjects)),
        f"<details><summary>{len(same)} settings that are the same</summary>",
        _table(["setting", "value"], [[name, subjects[0].settings[name]] for name in same]),
        "</details>",
        "<h2>Runs</h2>",
        _table(["name", "MLflow run", "model"], [[one.name, one.run_id, one.model or "–"] for one in subjects]),
    ]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{escape(' and '.join(names))}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def number(value: float | None) -> str:
    """Write a metric as a person reads it; a dash where there is none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 1 else f"{value:.4g}"


def setting(one: RunSummary, name: str) -> str:
    """Write a setting with six digits at most; a dash where there is none."""
    text = one.settings.get(name, "–")
    return f"{float(text):.6g}" if re.fullmatch(r"-?\d+\.\d{7,}(e-?\d+)?", text) else text


def _matches(matches: Sequence[PairResult]) -> list[str]:
    parts = ["<p>Test tracks of either that taught neither.</p>"]
    for match in matches:
        found = match.comparison
        if found is None:
            parts.append(f"<p>{escape(match.first)} and {escape(match.second)}: {escape(match.note)}</p>")
            continue
        parts.append(f"<p>{escape(paired_test_text(found, match.first, match.second))}.</p>")
        rows = [
            [f"{match.first} right", str(found.both), str(found.candidate)],
            [f"{match.first} wrong", str(found.incumbent), str(found.neither)],
        ]
        parts.append(_table(["tracks", f"{match.second} right", f"{match.second} wrong"], rows, numbers=True))
    return parts


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    kinds = ["", *(' class="number"' if numbers else "" for _ in head[1:])]
    titles = "".join(f"<th{kind}>{escape(title)}</th>" for kind, title in zip(kinds, head, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(curve: str, subjects: Sequence[RunSummary]) -> str:
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    figure = Figure(figsize=(6.5, 3.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for one in subjects:
        if points := one.curves.get(curve):
            axes.plot(*zip(*points, strict=True), marker=".", label=_plain(one.name))
    axes.set(xlabel="epoch", ylabel=curve.replace("_", " "))
    axes.grid(alpha=0.3)
    axes.legend()
    image = io.BytesIO()
    figure.savefig(image, format="png")
    words = f"{curve.replace('_', ' ')} by epoch"
    source = f"data:image/png;base64,{b64encode(image.getvalue()).decode()}"
    return f'<figure><img alt="{escape(words)}" src="{source}"></figure>'


def _plain(name: str) -> str:
    """Matplotlib takes what stands between dollar signs for mathematics, and hides names that begin with `_`."""
    return "\u200b" + name.replace("$", r"\$")
