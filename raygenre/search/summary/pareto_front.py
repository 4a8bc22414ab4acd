"""The Pareto front of a search: the trials that no other trial dominates.

Only a search with several objectives has a front. Its finalists are the trials on the front with the best values of the
first objective, which is loss or accuracy. As in every search, the finalist whose repeats have the lowest mean loss
wins. To train a smaller or faster network instead, choose a trial from the table or from front.csv, and copy its values
into a space file as fixed values.
"""

from optuna.trial import TrialState

from raygenre.search.space.objectives import PREFIX, UNITS
from raygenre.search.space.space import short
from raygenre.search.study.ledger import Ledger, losses
from raygenre.search.study.mlflow_ids import trial_name
from raygenre.search.trials.phases import TextTable
from raygenre.system.atomic_write import write_atomically
from raygenre.system.csv_text import csv_text
from raygenre.system.numbers import loss_text
from raygenre.tracking.tracker import Tracker

FILE = "front.csv"


def table(ledger: Ledger) -> TextTable:
    """Return the front as a table, sorted by the first objective, best first."""
    objectives, searched = ledger.config.objectives, list(ledger.config.distributions)
    rows = []
    for trial in ledger.front():
        values = [_text(name, value) for name, value in zip(objectives, trial.values, strict=True)]
        rows.append((str(trial.number), *values, *(short(trial.params[name]) for name in searched)))
    return TextTable(
        columns=[name.replace("_", " ") for name in ("trial", *objectives, *searched)],
        rows=rows,
        title=f"Pareto front for {' and '.join(objectives)}",
    )


def to_csv(ledger: Ledger) -> str:
    """Return the front as CSV."""
    objectives, searched = ledger.config.objectives, list(ledger.config.distributions)
    rows = [[trial.number, *trial.values, *(trial.params[name] for name in searched)] for trial in ledger.front()]
    return csv_text([["trial", *objectives, *searched], *rows])


def record(ledger: Ledger, tracker: Tracker, parent: str) -> None:
    """Write the front to MLflow and the study's folder, and log the objectives of each completed trial to its run."""
    content = to_csv(ledger)
    write_atomically(ledger.folder / FILE, content.encode())
    tracker.log_text(parent, content, FILE)
    front = {trial.number for trial in ledger.front()}
    for trial in ledger.trials:
        if trial.state == TrialState.COMPLETE:
            run = tracker.key("trial", trial_name(trial.number))
            values = zip(ledger.config.objectives, trial.values, strict=True)
            tracker.log(run, {PREFIX + name: value for name, value in values}, step=max(losses(trial)))
            tracker.set_tags(run, {"on_front": trial.number in front})


def _text(name: str, value: float) -> str:
    if name == "accuracy":
        return f"{value:.1%}"
    return f"{value:,.0f}" if name == "parameters" else f"{loss_text(value)}{UNITS[name]}"
