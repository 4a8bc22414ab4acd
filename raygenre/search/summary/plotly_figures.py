"""The figures of a search for the browser, on one page: Optuna's, and three of our own.

The page contains plotly's code, loads nothing from other hosts, and can be opened from a disk.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import optuna
from optuna import visualization
from optuna.study import Study
from optuna.trial import FrozenTrial

from raygenre.search.space.objectives import is_multi_objective
from raygenre.search.space.space import short
from raygenre.search.study.ledger import losses
from raygenre.search.summary.figure_data import Axis, Sample, SearchData
from raygenre.search.trials.scheduler import rungs

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HEIGHT = 480  # pixels

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 0 auto; padding: 1rem; color: #222 }
h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin: 2rem 0 0 } p { margin: .2rem 0; color: #555 }
"""
# No requests at all. Plotly's code is in the page, and creates some of its functions at run time.
_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
_CONTROLS = {"displaylogo": False, "responsive": True}


@dataclass(frozen=True)
class PageFigure:
    """A figure on the page.

    Attributes:
        name: of its element.
        title, caption: above the figure.
        figure: the figure, or why it is missing.
    """

    name: str
    title: str
    caption: str
    figure: "Figure | str"


def learning_curves(data: SearchData) -> "Figure":
    from plotly.graph_objects import Figure

    figure = Figure()
    for trial, colour in _coloured(data):
        curve = losses(trial)
        _line(figure, data, trial, list(curve), list(curve.values()), colour)
    return figure.update_layout(xaxis_title="epoch", yaxis_title="validation loss")


def rungs_over_time(data: SearchData) -> "Figure":
    from plotly.graph_objects import Figure

    figure = Figure()
    for trial, colour in _coloured(data):
        minutes, epochs = data.progress(trial)
        _line(figure, data, trial, minutes, epochs, colour)
    for rung in rungs(data.config) if data.config.scheduler == "asha" else []:
        figure.add_hline(rung, line={"dash": "dash", "color": "#bbb", "width": 1})
    return figure.update_layout(xaxis_title="minutes since the start", yaxis_title="epoch")


def history(data: SearchData) -> "Figure":
    return visualization.plot_optimization_history(data.ledger.study, target=_target(data), target_name=data.objective)


def slices(data: SearchData) -> "Figure":
    return visualization.plot_slice(data.ledger.study, target=_target(data), target_name=data.objective)


def parallel_coordinates(data: SearchData) -> "Figure":
    return visualization.plot_parallel_coordinate(data.ledger.study, target=_target(data), target_name=data.objective)


def importances(shares: dict[str, float]) -> "Figure":
    from plotly.graph_objects import Bar, Figure

    names = list(reversed(shares))
    figure = Figure(Bar(x=[shares[name] for name in names], y=names, orientation="h", marker_color="#1b6ca8"))
    return figure.update_layout(xaxis_title="importance")


def contour(data: SearchData, sample: Sample, across: Axis, up: Axis) -> "Figure":
    names = [across.name, up.name]
    figure = visualization.plot_contour(study_of(data, sample), params=names, target_name=data.objective)
    if sample.stopped:
        stopped = sample.trials[-sample.stopped :]
        places = {at: [trial.params[axis.name] for trial in stopped] for at, axis in (("x", across), ("y", up))}
        marker = {"symbol": "x", "color": "#999", "size": 8}
        figure.add_scatter(**places, mode="markers", marker=marker, showlegend=False, hovertext="stopped early")
    return figure


def study_of(data: SearchData, sample: Sample) -> Study:
    """Return a sample as a study in memory: all of its trials complete, with the first objective only.

    For the search's own study, Optuna would ignore stopped trials and the direction of a chosen objective.
    """
    study = optuna.create_study(direction=data.ledger.study.directions[0])
    for trial, value in zip(sample.trials, sample.values, strict=True):
        study.add_trial(
            optuna.trial.create_trial(value=float(value), params=trial.params, distributions=trial.distributions)
        )
    return study


def page(title: str, entries: Sequence[PageFigure]) -> str:
    """Return the HTML page with all figures."""
    from plotly.offline import get_plotlyjs

    parts = []
    for entry in entries:
        figure = entry.figure
        if isinstance(figure, str):
            content = f'<p class="left-out">Not drawn: {html.escape(figure)}.</p>'
        else:
            figure.update_layout(title=None, height=HEIGHT, margin={"t": 30}, template="plotly_white")
            content = figure.to_html(full_html=False, include_plotlyjs=False, div_id=entry.name, config=_CONTROLS)
        parts.append(f"<h2>{html.escape(entry.title)}</h2>\n<p>{html.escape(entry.caption)}</p>\n{content}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n" + "\n".join(parts) + "</body></html>\n"
    )


def _target(data: SearchData) -> Callable[[FrozenTrial], float] | None:
    """Return the first of several objectives; None for one, since Optuna draws more if it is not told what to draw."""
    return (lambda trial: float(trial.values[0])) if is_multi_objective(data.config.objectives) else None


def _coloured(data: SearchData) -> list[tuple[FrozenTrial, str]]:
    """Return the trials with their colours, the most important last, so that they are drawn above the others."""
    best = {trial.number for trial in data.ledger.top(1)}
    complete = sorted(data.complete, key=lambda trial: trial.number in best)
    return [
        *((trial, "#bbb") for trial in data.stopped),
        *((trial, "#c0392b") for trial in data.failed),
        *((trial, "#1b6ca8" if trial.number in best else "#7fb3d5") for trial in complete),
    ]


def _line(
    figure: "Figure", data: SearchData, trial: FrozenTrial, across: Sequence[float], up: Sequence[float], colour: str
) -> None:
    settings = (f"{axis.label} {short(trial.params[axis.name])}" for axis in data.axes)
    hover = "<br>".join((f"trial {trial.number}, {trial.state.name.lower()}", *settings))
    figure.add_scatter(
        x=list(across),
        y=list(up),
        mode="lines+markers",
        name=f"trial {trial.number}",
        line={"color": colour, "width": 1.5},
        marker={"size": 5},
        showlegend=False,
        hovertemplate=f"{hover}<br>%{{x:.3g}}: %{{y:.4g}}<extra></extra>",
    )
