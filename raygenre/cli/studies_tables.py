"""Formats studies for `raygenre studies`: as a table, as text, and as JSON."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from raygenre.cli.console import styled
from raygenre.search.options import Options
from raygenre.search.trials.phases import short_duration
from raygenre.studies.study import Study
from raygenre.system.redaction import masked

_STYLES = {"running": "green", "failed": "red", "queued": "yellow", "stopping": "yellow"}
_NONE = "–"


def studies_table(studies: Sequence[Study]) -> Table:
    """Return a table with one row per study."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    columns = ("name", "who", "state", "since", "trials", "best", "places", "CPU h", "GPU h", "left", "stored")
    for column in columns:
        is_name = column in ("name", "who")
        is_text = is_name or column in ("state", "since")
        table.add_column(column, justify="left" if is_text else "right", overflow="fold", no_wrap=not is_name)
    for study in studies:
        table.add_row(
            study.name,
            study.owner,
            styled(study.state, _STYLES.get(study.state, "")),
            _short_time(study.state_at),
            _trials(study),
            _NONE if study.best is None else f"{study.best:.4g}",
            _NONE if study.has_ended else f"{study.running}/{study.granted or 0}",
            _hours(study.cpu_seconds),
            _hours(study.gpu_seconds),
            _NONE if study.seconds_left is None else short_duration(study.seconds_left),
            _NONE if study.bytes is None else _size(study.bytes),
        )
    table.caption = Text("trials: completed/stopped early/failed of all; places: in use/granted", style="dim")
    table.caption_justify = "left"
    return table


def record(study: Study) -> dict[str, Any]:
    """Return the JSON object for a study in `list --json`.

    Times are in ISO 8601 format with a time zone.
    """
    return {
        "name": study.name,
        "owner": study.owner,
        "state": study.state,
        "since": _iso(study.state_at),
        "submitted": _iso(study.created_at),
        "address": masked(study.address),
        "priority": study.priority,
        "trials": {
            "completed": study.completed,
            "pruned": study.pruned,
            "failed": study.failed,
            "total": study.total,
        },
        "best": study.best,
        "objective": study.objective,
        "places": {"running": study.running, "granted": study.granted, "max_concurrent": study.max_concurrent},
        "cpu_hours": study.cpu_seconds / 3600,
        "gpu_hours": study.gpu_seconds / 3600,
        "seconds_left": study.seconds_left,
        "bytes": study.bytes,
        "error": masked(study.error),
    }


def details(study: Study, link: str) -> dict[str, Any]:
    """Return the JSON object for a study in `show --json`: its `record` and more details.

    Args:
        link: link to the trials in MLflow.
    """
    return record(study) | {
        "phase": study.phase,
        "start": study.attempt,
        "driver": study.job,
        "settings": _settings(study),
        "errors": [masked(error) for error in json.loads(study.errors)],
        "mlflow": link,
    }


def details_text(study: Study, link: str) -> str:
    """Return the text that `raygenre studies show` prints.

    Args:
        link: link to the trials in MLflow, or the command that opens them.
    """
    limit = f" of at most {study.max_concurrent}" if study.max_concurrent is not None else ""
    lines = {
        "state": f"{study.state} since {_time(study.state_at)}{f' ({study.phase})' if study.phase else ''}",
        "error": masked(study.error),
        "submitted": f"{_time(study.created_at)} by {study.owner}, priority {study.priority}",
        "driver": f"{study.job or 'not started'}, start {study.attempt}",
        "cluster": masked(study.address) or "this machine",
        "storage": masked(study.storage),
        "stored": "" if study.bytes is None else _size(study.bytes),
        "trials": _trials(study),
        "best": "" if study.best is None else f"{study.objective} {study.best:.4g}",
        "places": "" if study.has_ended else f"{study.running} in use, {study.granted or 0} granted{limit}",
        "usage": f"{_hours(study.cpu_seconds)} CPU hours, {_hours(study.gpu_seconds)} GPU hours",
        "time left": "" if study.seconds_left is None else short_duration(study.seconds_left),
        "settings": ", ".join(f"{name.replace('_', '-')} {value}" for name, value in _settings(study).items()),
        "MLflow": link,
        "Optuna": f"raygenre dashboard --study {study.name}",
    }
    text = [f"{name:<10} {value}" for name, value in lines.items() if value]
    return "\n".join([study.name, *text, *(f"{'failure':<10} {masked(error)}" for error in json.loads(study.errors))])


def _settings(study: Study) -> dict[str, Any]:
    """Return the submitted options, updated with all changes that were requested later."""
    options = json.loads(study.request)["options"]
    defaults = vars(Options())
    chosen = {
        name: masked(value) if isinstance(value, str) else value
        for name, value in options.items()
        if name in defaults and value and name not in ("given", "study", "storage") and value != defaults[name]
    }
    wishes = {"trials": study.trials, "max_concurrent": study.max_concurrent, "time_budget": study.time_budget}
    return chosen | {name: value for name, value in wishes.items() if value is not None}


def _trials(study: Study) -> str:
    return f"{study.completed}/{study.pruned}/{study.failed} of {study.total or '?'}"


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"


def _short_time(seconds: float) -> str:
    """Return the time of day if the given time is today, otherwise the date."""
    moment = datetime.fromtimestamp(seconds)
    return f"{moment:%H:%M}" if moment.date() == datetime.now().date() else f"{moment:%Y-%m-%d}"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f}" if seconds else "0"


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
