"""Logs a search's MLflow run: first data, code and machine, later tables and figures."""

import json
import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from optuna.trial import TrialState

from raygenre.data import split_summary
from raygenre.data.broken_files import skipped
from raygenre.data.dataset import Dataset
from raygenre.search.space import config_file
from raygenre.search.space.config import Resources, SearchConfig
from raygenre.search.space.objectives import PREFIX, is_multi_objective
from raygenre.search.study.ledger import Ledger, losses
from raygenre.search.study.mlflow_ids import trial_name
from raygenre.search.study.problems import clear_problem, note_problem
from raygenre.search.study.throughput import throughput
from raygenre.search.summary import description, figures
from raygenre.search.trials.cluster import nodes
from raygenre.search.trials.finalists import Finalist
from raygenre.search.trials.trial_config import trial_seed
from raygenre.search.trials.trial_result import OBJECTIVE
from raygenre.system import code_version, hardware
from raygenre.system.csv_text import csv_text
from raygenre.tracking.shared_view import View
from raygenre.tracking.tracker import Tracker

NOTE = "mlflow.note.content"
ENVIRONMENT, TRIALS, FINALISTS = "environment.json", "trials.csv", "finalists.csv"

_DRAWN = "figures_of"  # study attribute: number of trials in the search's figures


class SearchRunLogger:
    """Logs the MLflow run of one search.

    Attributes:
        run: key of the run; see `Tracker`.
    """

    def __init__(self, ledger: Ledger, dataset: Dataset, tracker: Tracker, resources: Resources) -> None:
        """Start or reopen the run, and log the search, its data, the code and the machine."""
        clear_problem(ledger)
        self._ledger = ledger
        self._tracker = tracker
        self._resources = resources
        self._parts = split_summary.parts(dataset, ledger.split)
        code, machine, versions = code_version.commit(), hardware.describe_hardware(), code_version.versions()
        facts = {
            "study": ledger.name,
            "study_id": ledger.id,
            "data_digest": ledger.config.data_digest,
            "synthetic": dataset.synthetic,
            "train_tracks": len(ledger.split.train),
            "test_tracks": len(ledger.split.test),
            "mlflow.source.name": Path(sys.argv[0]).name,
            "mlflow.source.type": "LOCAL",
            "warm_start": ", ".join(ledger.config.warm_start),  # left out if empty
            **{f"version.{name}": versions[name] for name in ("raygenre", "ray", "torch", "numpy", "optuna")},
            **{f"hardware.{name}": machine[name] for name in ("cpu", "cores", "gpus")},
        }
        if code:
            facts |= {"mlflow.source.git.commit": code.sha, "mlflow.source.git.dirty": code.changed}
            facts |= {"mlflow.source.git.branch": code.branch} if code.branch else {}
        self.run = tracker.start(ledger.name, "search", params=_settings(ledger.config), tags=facts)
        tracker.save_view(self.run, _view(ledger))
        tracker.set_tags(self.run, _limits(ledger.config))
        tracker.log_inputs(self.run, self._parts)
        tracker.log_text(self.run, config_file.to_yaml(ledger.config), config_file.NAME)
        tracker.log_text(self.run, ledger.split.to_json(), "split.json")
        environment = {  # describes the latest driver
            "commit": asdict(code) if code else None,
            "versions": versions,
            "hardware": machine,
            "nodes": nodes(),
            "resources": asdict(resources),
            "seed": ledger.config.seed,
            "not settled by the seed": description.nondeterminism(ledger.config, resources),
        }
        tracker.log_text(self.run, json.dumps(environment, indent=2), ENVIRONMENT)
        if dataset.broken:
            lines = "\n".join(f"{file.path}: {file.reason}" for file in dataset.broken)
            tracker.log_text(self.run, f"{skipped(dataset.broken)}\n{lines}\n", "broken_files.txt")
        self._describe()

    def trials(self) -> None:
        """Log the table and the figures of the trials unless they were already logged for the same trials."""
        ledger, tracker = self._ledger, self._tracker
        ended = sum(trial.state.is_finished() for trial in ledger.trials)
        if ledger.study.user_attrs.get(_DRAWN) == ended:
            return
        tracker.log_text(self.run, trials_csv(ledger), TRIALS)
        drawn = figures.draw(ledger)
        tracker.log_text(self.run, drawn.page, figures.PAGE)
        for name, picture in drawn.pictures.items():
            tracker.log_file(self.run, picture, f"{figures.FOLDER}/{name}.png")
        past = throughput(ledger)
        tracker.log(self.run, {"trials_per_hour": past.trials_per_hour, "search_seconds": past.seconds}, step=ended)
        self._describe()
        ledger.save()
        ledger.study.set_user_attr(_DRAWN, ended)

    def finalists(self, finalists: Sequence[Finalist]) -> None:
        """Log the finalists."""
        ledger, tracker = self._ledger, self._tracker
        [best] = ledger.top(1)
        [best_in_search] = [finalist for finalist in finalists if finalist.number == best.number]
        winner = finalists[0]
        tracker.log_text(self.run, finalists_csv(finalists), FINALISTS)
        tags = {
            "best_trial": best_in_search.number,
            "optimism": best_in_search.optimism,
            "best_on_new_seeds": winner.number,
        }
        tracker.set_tags(self.run, tags)
        values = {"best_validation_loss": best_in_search.search_loss, "best_validation_loss_on_new_seeds": winner.loss}
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        tracker.log(self.run, finite, step=len(ledger.trials))
        self._describe(finalists)

    def problem(self, error: Exception) -> None:
        """Record the error that ends the search, both in the study and in the run's description."""
        note_problem(self._ledger, error)
        with suppress(OSError):  # the disk may be full
            self._describe()

    def _describe(self, finalists: Sequence[Finalist] = ()) -> None:
        self._tracker.set_tags(
            self.run, {NOTE: description.note(self._ledger, self._parts, self._resources, finalists)}
        )


def _settings(config: SearchConfig) -> dict[str, object]:
    """Return the settings that are the same for all trials of a search."""
    settings = asdict(config) | config.fixed
    # A resumed search may have more trials and different limits, so these are logged as tags, which may change.
    for name in (*config.distributions, "trials", "time_budget", "patience", "warm_start", "data_digest"):
        settings.pop(name, None)
    texts: dict[str, object] = {name: json.dumps(settings[name]) for name in ("space", "starts") if settings[name]}
    return settings | texts | {"objectives": ", ".join(config.objectives)}


def _limits(config: SearchConfig) -> dict[str, object]:
    """Return the settings that may differ in a resumed search."""
    limits = {"time_budget_seconds": config.time_budget, "patience": config.patience}
    return {"trials": config.trials} | {name: value for name, value in limits.items() if value}


def _view(ledger: Ledger) -> View:
    """Return the view that MLflow shows first: the trials with their results and searched values."""
    config = ledger.config
    multiple = is_multi_objective(config.objectives)
    return View(
        ledger.name,
        metrics=[OBJECTIVE, "validation_accuracy", *(PREFIX + name for name in config.objectives if multiple)],
        params=list(config.distributions),
        tags=["state", *(["on_front"] if multiple else [])],
        curves=["validation_loss", "validation_accuracy", "train_loss", "train_accuracy"],
    )


def trials_csv(ledger: Ledger) -> str:
    """Return all trials with their settings, values and final states."""
    names = list(ledger.config.distributions)
    head = ["trial", "run", "state", *names, *ledger.config.objectives]
    rows: list[list[object]] = [[*head, "lowest_loss", "best_epoch", "epochs", "seed", "began", "seconds", "failure"]]
    for trial in ledger.trials:
        curve = losses(trial)
        best = min(curve, key=lambda epoch: curve[epoch], default=None)
        values = trial.values if trial.state == TrialState.COMPLETE else [""] * len(ledger.config.objectives)
        rows.append(
            [
                trial.number,
                trial_name(trial.number),
                trial.state.name.lower(),
                *(trial.params.get(name, "") for name in names),
                *values,
                "" if best is None else curve[best],
                best,
                len(curve),
                trial_seed(ledger.config.seed, trial.number),
                trial.datetime_start and trial.datetime_start.isoformat(timespec="seconds"),
                trial.duration and round(trial.duration.total_seconds(), 1),
                ledger.failure(trial.number),
            ]
        )
    return csv_text(rows)


def finalists_csv(finalists: Sequence[Finalist]) -> str:
    """Return the finalists with their losses in the search and on new seeds, best first."""
    rows: list[list[object]] = [["trial", "search_loss", "mean_loss", "spread", "optimism", "mean_accuracy", "epochs"]]
    for finalist in finalists:
        accuracy, epochs = (sum(values) / len(values) for values in (finalist.accuracies, finalist.epochs))
        losses = [finalist.search_loss, finalist.loss, finalist.spread, finalist.optimism]
        rows.append([finalist.number, *losses, accuracy, epochs])
    return csv_text(rows)
