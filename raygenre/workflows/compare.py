"""Compare runs: the settings that differ, and the accuracy on the same test tracks."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path

from raygenre.errors import RaygenreError
from raygenre.evaluation import head_to_head
from raygenre.evaluation.paired_test import PairedTest
from raygenre.registry import run_summary, versions
from raygenre.registry.run_summary import RunSummary
from raygenre.search.space.config import SearchConfig
from raygenre.tracking.server import Server

_MAIN_METRIC = re.compile(
    r"(test|train|all)_(accuracy|macro_f1|calibration_error)|best_validation_loss|validation_accuracy|train_loss"
)
_SEARCH_TAGS = (*(field.name for field in fields(SearchConfig)), "train_tracks", "test_tracks")


@dataclass(frozen=True)
class PairResult:
    """The result of comparing the registered versions of two runs on the same tracks.

    Attributes:
        first, second: names of the runs; the first is the candidate in the comparison.
        comparison: paired test; None if the versions cannot be compared.
        note: why the versions cannot be compared; empty if they can.
    """

    first: str
    second: str
    comparison: PairedTest | None
    note: str = ""


def find_run(server: Server, source: str) -> RunSummary:
    """Look up a run by its id, a version's URI or a study's name.

    Raises:
        UnknownRunError: the run does not exist.
        RegistryError: the version does not exist.
    """
    return run_summary.find_run(server, source, search_tags=_SEARCH_TAGS)


def compare_pairs(server: Server, runs: Sequence[RunSummary], source: Path | None) -> list[PairResult]:
    """Compare each pair of runs that have registered versions, on test tracks that neither version was trained on.

    Args:
        source: folder of the data set; by default the first version's data set.
    """
    registered = [run for run in runs if run.model]
    if len(registered) < 2:
        return []
    try:
        classifiers = [versions.fetch(server, run.model).classifier for run in registered]
        facts, genres = registered[0].facts, classifiers[0].genres
        dataset = head_to_head.tested_data(facts, source, genres=genres, cache=server.storage.cache)
    except (RaygenreError, OSError) as error:
        return [PairResult(first.name, second.name, None, str(error)) for first, second in combinations(registered, 2)]
    results = []
    for (first, one), (second, other) in combinations(zip(registered, classifiers, strict=True), 2):
        try:
            results.append(PairResult(first.name, second.name, head_to_head.compare_pair(one, other, dataset)))
        except RaygenreError as error:
            results.append(PairResult(first.name, second.name, None, str(error)))
    return results


def unpaired_reason(runs: Sequence[RunSummary]) -> str:
    """Return why no pair of runs was compared on the same tracks, or "" if a pair was compared."""
    registered = [run.name for run in runs if run.model]
    if len(registered) > 1:
        return ""
    those = f"only {registered[0]} has one" if registered else "none of these runs has one"
    return f"No paired test: it requires two registered versions, but {those}"


def split_settings(runs: Sequence[RunSummary]) -> tuple[list[str], list[str]]:
    """Return the names of the settings that differ, and of those that are the same in all runs."""
    names = all_names(run.settings for run in runs)
    differing = [name for name in names if len({run.settings.get(name) for run in runs}) > 1]
    return differing, [name for name in names if name not in differing]


def split_metrics(runs: Iterable[RunSummary]) -> tuple[list[str], list[str]]:
    """Return the names of the most informative metrics, such as the accuracy, and the names of all others."""
    names = all_names(run.values for run in runs)
    main = [name for name in names if _MAIN_METRIC.fullmatch(name)]
    return main, [name for name in names if name not in main]


def all_names(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    """Return the names that occur in any of the mappings, in order of their first occurrence."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))
