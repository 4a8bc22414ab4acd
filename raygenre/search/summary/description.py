"""What MLflow's page of a search says in words: what was searched and found, on which data, and what was chance."""

import math
from collections.abc import Sequence

from optuna.trial import TrialState

from raygenre.data.split_summary import Part
from raygenre.search.space.config import Resources, SearchConfig
from raygenre.search.space.objectives import is_multi_objective
from raygenre.search.space.space import short
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.throughput import throughput
from raygenre.search.trials.finalists import Finalist

MOST_GENRES, MOST_PARTS = 40, 5  # rows and columns of a table, since a note has an end


def chance(config: SearchConfig, resources: Resources) -> list[str]:
    """Return what the seeds of a search do not settle."""
    found = []
    if resources.max_concurrent != 1 and (config.sampler != "random" or config.scheduler != "none"):
        what = [
            *(["which settings the sampler proposes"] if config.sampler != "random" else []),
            *(["which trials are stopped"] if config.scheduler != "none" else []),
        ]
        found.append(f"the order in which trials that run side by side report decides {' and '.join(what)}")
    if config.sampler != "random":
        found.append("a search that was interrupted draws other settings than one that was not")
    if resources.gpus:
        found.append(
            "CUDA's kernels add up in no fixed order, so that losses differ in their last digits, and later more"
        )
    found.append("another processor, number of threads or version of torch rounds otherwise")
    if "latency" in config.objectives:
        found.append("the latency is measured")
    return found


def words(ledger: Ledger, parts: Sequence[Part], resources: Resources, finalists: Sequence[Finalist] = ()) -> str:
    """Return the note, in Markdown.

    Args:
        finalists: best first, once there are any.
    """
    config = ledger.config
    searched = ", ".join(name.replace("_", " ") for name in config.distributions)
    said = (
        f"{config.trials} trials of at most {config.epochs} epochs over {searched}; sampler {config.sampler}, "
        f"scheduler {config.scheduler}, seed {config.seed}. {_ended(ledger)}".rstrip()
    )
    sections = [_best(ledger, finalists[0]), said, _finalists(ledger, finalists)] if finalists else [said]
    sections.append(f"**Data** `{parts[0].source}`\n\n{_data(parts)}")
    lines = "\n".join(f"- {line}" for line in chance(config, resources))
    sections.append(f"**What the seed does not settle**\n\n{lines}")
    return "\n\n".join(sections) + "\n"


def _ended(ledger: Ledger) -> str:
    past = throughput(ledger)
    if not past.trials:
        return ""
    count = {state: sum(trial.state == state for trial in ledger.trials) for state in TrialState}
    return (
        f"{count[TrialState.COMPLETE]} ran to their end, {count[TrialState.PRUNED]} were stopped, "
        f"{count[TrialState.FAIL]} failed, in {past.seconds / 60:.1f} min: {past.trials_per_hour:.0f} trials an hour."
    )


def _best(ledger: Ledger, best: Finalist) -> str:
    setting = ", ".join(
        f"{name.replace('_', ' ')} {short(value)}" for name, value in ledger.trials[best.number].params.items()
    )
    if not math.isfinite(best.loss):
        return "**None of the best settings could be trained again**; the table below says so of each."
    return (
        f"**Trial {best.number} is best on new seeds**: {setting}; validation loss {best.loss:.3f} "
        f"± {best.spread:.3f}, {best.search_loss:.3f} in the search. `figures/all.html` shows all trials."
    )


def _finalists(ledger: Ledger, finalists: Sequence[Finalist]) -> str:
    names = list(ledger.config.distributions)
    head = ["trial", *(name.replace("_", " ") for name in names), "loss in the search", "on new seeds", "optimism"]
    rows = [
        [
            str(one.number),
            *(short(ledger.trials[one.number].params[name]) for name in names),
            f"{one.search_loss:.3f}",
            f"{one.loss:.3f} ± {one.spread:.3f}" if math.isfinite(one.loss) else "failed",
            f"{one.optimism:+.3f}" if math.isfinite(one.loss) else "",
        ]
        for one in finalists
    ]
    what = (
        "The best of the front by its first objective"
        if is_multi_objective(ledger.config.objectives)
        else "The best settings"
    )
    return f"**{what}, trained again on {len(finalists[0].losses)} new seeds**\n\n{_table(head, rows)}"


def _data(parts: Sequence[Part]) -> str:
    if len(parts) > MOST_PARTS:
        parts = [*parts[:2], parts[-1]]  # of the folds the first
    rows = [["all", *(f"**{part.tracks}**" for part in parts)]]
    genres = list(parts[0].counts)
    for genre in genres[:MOST_GENRES]:
        rows.append([genre, *(str(part.counts[genre]) for part in parts)])
    if len(genres) > MOST_GENRES:
        rows.append([f"and {len(genres) - MOST_GENRES} more", *("" for _ in parts)])
    rows.append(["digest", *(f"`{part.digest[:12]}`" for part in parts)])
    return _table(["tracks", *(part.use for part in parts)], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown, with some space after each cell, of which MLflow's style has none."""
    spaced = [[f"{cell}&emsp;" for cell in row] for row in (head, *rows)]
    lines = [spaced[0], ["---"] * len(head), *spaced[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
