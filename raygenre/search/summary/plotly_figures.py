"""The figures of a search on one browser page: some drawn by Optuna, three by this module.

The page includes Plotly's code, loads nothing from other hosts, and can be opened as a local file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna import visualization
from optuna.study import Study
from optuna.trial import FrozenTrial

from raygenre.evaluation.html_page import render_page
from raygenre.search.space.objectives import is_multi_objective
from raygenre.search.space.space import short
from raygenre.search.study.ledger import losses
from raygenre.search.summary.figure_data import Axis, Sample, SearchData
from raygenre.search.trials.scheduler import rungs

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HEIGHT = 480  # pixels

_CONTROLS = {"displaylogo": False, "responsive": True}


@dataclass(frozen=True)
class PageFigure:
    """A figure on the page.

    Attributes:
        name: id of the figure's HTML element.
        title, caption: text above the figure.
        figure: the figure, or the reason why it is missing.
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
    """Return a sample as an in-memory study in which every trial is complete and has only the first objective.

    Given the search's own study, Optuna would ignore stopped trials and the direction of the objective.
    """
    study = optuna.create_study(direction=data.ledger.study.directions[0])
    for trial, value in zip(sample.trials, sample.values, strict=True):
        study.add_trial(
            optuna.trial.create_trial(value=float(value), params=trial.params, distributions=trial.distributions)
        )
    return study


def page(title: str, entries: Sequence[PageFigure]) -> str:
    """Return the HTML page with all figures."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    drawn = []
    for entry in entries:
        html = ""
        if not isinstance(figure := entry.figure, str):
            figure.update_layout(title=None, height=HEIGHT, margin={"t": 30}, template="plotly_white")
            html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=entry.name, config=_CONTROLS)
        drawn.append((entry, Markup(html)))  # safe: Plotly escapes the names in its HTML
    values = {"title": title, "entries": drawn, "plotly": Markup(get_plotlyjs())}
    return render_page(Path(__file__).with_name("figures.html.jinja"), values)


def _target(data: SearchData) -> Callable[[FrozenTrial], float] | None:
    """Return a function that selects the first of several objectives; None if there is only one objective.

    A single objective does not need a function, and Optuna shows more details without one.
    """
    return (lambda trial: float(trial.values[0])) if is_multi_objective(data.config.objectives) else None


def _coloured(data: SearchData) -> list[tuple[FrozenTrial, str]]:
    """Return the trials with their colours, sorted so that the most important trials are drawn on top."""
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
