"""Reads timings recorded by `tests.helpers.record_timings`, in full or up to a given time."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from raygenre.search.trials.timings import Observed, Run, Work

TIMINGS = Path(__file__).parents[1] / "search" / "trials" / "timings.json"


def read() -> dict[str, tuple[Work, Observed, float]]:
    """Return the work, the observations and the end time of each recorded search, by name."""
    return {name: _from_dict(search) for name, search in json.loads(TIMINGS.read_text()).items()}


def at(seen: Observed, now: float) -> Observed:
    """Return the observations of a recorded search up to the given time."""
    phases = {name: start for name, start in seen.phases.items() if start <= now}
    return Observed(
        phases=phases,
        trials=[_run_at(run, now) for run in seen.trials if run.started is None or run.started <= now],
        repeats=[_run_at(run, now) for run in seen.repeats or ()] if "repeats" in phases else None,
        final=_run_at(seen.final, now) if seen.final and "final" in phases else None,
        final_epochs=seen.final_epochs if "final" in phases else 0,
    )


def _run_at(run: Run, now: float) -> Run:
    if run.started is None:
        return run
    marks = tuple(mark for mark in run.marks if mark[0] <= now)
    if len(marks) == 1 and len(run.marks) > 1:  # the start of the first epoch is known only once the epoch has ended
        marks = ()
    ended = run.ended if run.ended is not None and run.ended <= now else None
    run = replace(run, started=run.started if run.started <= now else None, marks=marks, ended=ended)
    return run if ended is not None else replace(run, loss=Run(0).loss, best_epoch=0)


def _from_dict(search: dict[str, Any]) -> tuple[Work, Observed, float]:
    def run(fields: dict[str, Any]) -> Run:
        return Run(**fields | {"marks": tuple((at, epochs) for at, epochs in fields["marks"])})

    seen = search["observed"]
    observed = Observed(
        phases=seen["phases"],
        trials=[run(fields) for fields in seen["trials"]],
        repeats=[run(fields) for fields in seen["repeats"]],
        final=run(seen["final"]),
        final_epochs=seen["final_epochs"],
    )
    return Work(**search["work"] | {"rungs": tuple(search["work"]["rungs"])}), observed, search["ended"]
