"""The note on a search's MLflow page: settings, results, data and causes of nondeterminism."""

import math
from collections.abc import Sequence

from optuna.trial import TrialState

from raygenre.data.split_summary import Part
from raygenre.search.space.config import Resources, SearchConfig
from raygenre.search.space.objectives import is_multi_objective
from raygenre.search.space.space import short
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.problems import problem
from raygenre.search.study.throughput import throughput
from raygenre.search.trials.finalists import Finalist
from raygenre.system.numbers import loss_text

MAX_GENRES, MAX_PARTS = 40, 5  # maximum rows and columns of the data table, because MLflow limits a note's length


def nondeterminism(config: SearchConfig, resources: Resources) -> list[str]:
    """Return the reasons why two searches with the same seed may differ, one sentence per reason."""
    causes = []
    if resources.max_concurrent != 1 and (config.sampler != "random" or config.scheduler != "none"):
        decisions = [
            *(["which settings the sampler proposes"] if config.sampler != "random" else []),
            *(["which trials are stopped"] if config.scheduler != "none" else []),
        ]
        causes.append(f"concurrent trials report in any order, which affects {' and '.join(decisions)}")
    if config.sampler != "random":
        causes.append("an interrupted search draws different settings than an uninterrupted one")
    if resources.gpus:
        causes.append(
            "CUDA kernels add numbers in a varying order, so losses differ, at first in their last digits, then in more"
        )
    causes.append("a different processor, number of threads or version of torch rounds differently")
    if "latency" in config.objectives:
        causes.append("the latency is measured, and measurements vary")
    return causes


def note(ledger: Ledger, parts: Sequence[Part], resources: Resources, finalists: Sequence[Finalist] = ()) -> str:
    """Return the note, in Markdown.

    Args:
        finalists: the finalists, best first; empty until they are known.
    """
    config = ledger.config
    searched = ", ".join(name.replace("_", " ") for name in config.distributions)
    search = (
        f"{config.trials} trials of at most {config.epochs} epochs over {searched}; sampler {config.sampler}, "
        f"scheduler {config.scheduler}, seed {config.seed}. {_trial_counts(ledger)}".rstrip()
    )
    sections = [_best(ledger, finalists[0]), search, _finalists(ledger, finalists)] if finalists else [search]
    if error := problem(ledger):
        sections.insert(0, f"**The search ended with an error**: {error}. Fix it, then resume the search.")
    sections.append(f"**Data** `{parts[0].source}`\n\n{_data(parts)}")
    lines = "\n".join(f"- {cause}" for cause in nondeterminism(config, resources))
    sections.append(f"**What the seed does not fix**\n\n{lines}")
    return "\n\n".join(sections) + "\n"


def _trial_counts(ledger: Ledger) -> str:
    past = throughput(ledger)
    if not past.trials:
        return ""
    count = {state: sum(trial.state == state for trial in ledger.trials) for state in TrialState}
    return (
        f"{count[TrialState.COMPLETE]} completed, {count[TrialState.PRUNED]} were pruned and "
        f"{count[TrialState.FAIL]} failed in {past.seconds / 60:.1f} min: {past.trials_per_hour:.0f} trials per hour."
    )


def _best(ledger: Ledger, best: Finalist) -> str:
    setting = ", ".join(
        f"{name.replace('_', ' ')} {short(value)}" for name, value in ledger.trial(best.number).params.items()
    )
    if not math.isfinite(best.loss):
        return "**The repeats of every finalist failed**; see the table below."
    return (
        f"**Trial {best.number} is best on new seeds**: {setting}; validation loss {loss_text(best.loss)} "
        f"± {loss_text(best.spread)}, {loss_text(best.search_loss)} in the search. `figures/all.html` shows all trials."
    )


def _finalists(ledger: Ledger, finalists: Sequence[Finalist]) -> str:
    names = list(ledger.config.distributions)
    head = ["trial", *(name.replace("_", " ") for name in names), "loss in the search", "on new seeds", "optimism"]
    rows = [
        [
            str(finalist.number),
            *(short(ledger.trial(finalist.number).params[name]) for name in names),
            loss_text(finalist.search_loss),
            f"{loss_text(finalist.loss)} ± {loss_text(finalist.spread)}" if math.isfinite(finalist.loss) else "failed",
            loss_text(finalist.optimism, sign=True) if math.isfinite(finalist.loss) else "",
        ]
        for finalist in finalists
    ]
    multiple = is_multi_objective(ledger.config.objectives)
    settings = "The best settings on the Pareto front by the first objective" if multiple else "The best settings"
    return f"**{settings}, repeated on {len(finalists[0].losses)} new seeds**\n\n{_table(head, rows)}"


def _data(parts: Sequence[Part]) -> str:
    if len(parts) > MAX_PARTS:
        parts = [*parts[:2], parts[-1]]  # only the first fold
    rows = [["all", *(f"**{part.tracks}**" for part in parts)]]
    genres = list(parts[0].counts)
    for genre in genres[:MAX_GENRES]:
        rows.append([genre, *(str(part.counts[genre]) for part in parts)])
    if len(genres) > MAX_GENRES:
        rows.append([f"and {len(genres) - MAX_GENRES} more", *("" for _ in parts)])
    rows.append(["digest", *(f"`{part.digest[:12]}`" for part in parts)])
    return _table(["tracks", *(part.use for part in parts)], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with a space after each cell, because MLflow's stylesheet adds no padding."""
    spaced = [[f"{cell}&emsp;" for cell in row] for row in (head, *rows)]
    lines = [spaced[0], ["---"] * len(head), *spaced[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
