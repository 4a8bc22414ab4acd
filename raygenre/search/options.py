"""From the options of a command line, and perhaps the run.yaml of an earlier search, to a search.

An option that is given stands above run.yaml, and that above the defaults. What depends on something else, the sampler
`auto`, the defaults for synthetic tracks, the missing scheduler of several objectives, is settled here, so that what
is kept can be run again as it is.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from raygenre.data.dataset import Dataset
from raygenre.search.space import space_file
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.objectives import is_multi_objective
from raygenre.search.space.samplers import choose_sampler
from raygenre.search.space.space import WIDTHS, Entry, SpaceError, default_entries, to_distributions
from raygenre.search.space.start_points import parse
from raygenre.search.study.backend import StudyError
from raygenre.search.study.ledger import Ledger

SMALL = {"trials": 8, "epochs": 8, "batch_size": 4, "top_k": 2}  # defaults for the 200 synthetic tracks
SMALL_NETWORK: dict[str, Entry] = {"width": 8, "frequency_bins": 4}  # enough for them; the usual has 32 and 1
LARGE = {"trials": 20, "epochs": 40, "batch_size": 16, "top_k": 3}  # defaults for real music
_AS_GIVEN = ("seed", "split", "folds", "validation", "augmentation")
_PATHS = ("split_lists", "duplicates")
_LATE = (*_PATHS, "keep_duplicates", "space", "search_width", "start", "config")
_FIXED = (*_AS_GIVEN, "epochs", "sampler", "scheduler", "batch_size", "top_k", "objectives")


def resolve(
    options: Mapping[str, Any], given: Collection[str], tracks: Dataset, base: Mapping[str, Any] | None = None
) -> tuple[SearchConfig, list[str]]:
    """Return the search that the options ask for, and what a person should know of how it was settled.

    Args:
        options: by their names, with defaults where nothing was given; 0 stands for a default that depends on the data.
        given: names of the options that were given.
        base: fields of an earlier search.

    Raises:
        ValueError: options that do not go together.
    """
    base = base or {}

    def chosen(name: str, field: str = "") -> Any:
        field = field or name
        return base[field] if field in base and name not in given else options[name]

    if base and "data" not in given and base["data_digest"] != tracks.digest:
        raise ValueError(
            f"the data in {tracks.source} are no longer those that the search was run on; "
            "give --data to search on other data in the same way"
        )
    notes: list[str] = []
    usual = SMALL if tracks.synthetic else LARGE
    size: dict[str, Any] = {name: chosen(name) or usual[name] for name in ("trials", "epochs", "batch_size")}
    space = _space(options, given, base, notes)
    if tracks.synthetic and not base:
        space = SMALL_NETWORK | space
        network = ", ".join(f"{name.replace('_', ' ')} {space[name]}" for name in SMALL_NETWORK)
        notes.append(f"Network for synthetic tracks, unless --space has another: {network}")
    distributions = to_distributions(default_entries(size["epochs"]) | space)
    objectives = _objectives(chosen("objectives"))
    scheduler = chosen("scheduler")
    if is_multi_objective(objectives) and "scheduler" not in given and scheduler != "none":
        scheduler = "none"
        notes.append("No trial is stopped early: with several objectives Optuna takes no intermediate values")
    sampler = chosen("sampler")
    if sampler == "auto":
        sampler, reason = choose_sampler(
            trials=size["trials"], scheduler=scheduler, space=distributions, objectives=objectives
        )
        notes.append(f"Sampler {sampler}: {reason}")
    paths: dict[str, Any] = {name: _absolute(chosen(name)) for name in _PATHS}
    config = SearchConfig(
        data=None if tracks.synthetic else tracks.source,
        data_digest=tracks.digest,
        top_k=options["top_k"] or min(base.get("top_k", usual["top_k"]), size["trials"]),
        sampler=sampler,
        scheduler=scheduler,
        space=space,
        starts=[parse(text) for text in options["start"]] if "start" in given else list(base.get("starts", [])),
        objectives=objectives,
        keep_duplicates=bool(chosen("keep_duplicates")),
        **paths,
        **size,
        **{name: chosen(name) for name in _AS_GIVEN},
    )
    return config, notes


def check_unchanged(options: Mapping[str, Any], given: Collection[str], ledger: Ledger) -> None:
    """Hold that a resumed search is the one that was begun: options given anew must say the same.

    Raises:
        StudyError: they do not.
    """
    for name in _LATE:
        if name in given:
            raise StudyError(
                f"the study {ledger.name} was begun with its split and space; {_option(name)} comes too late"
            )
    for name in _FIXED:
        if name not in given or (name == "sampler" and options[name] == "auto"):
            continue
        kept = getattr(ledger.config, name)
        asked = _objectives(options[name]) if name == "objectives" else options[name]
        if asked != kept:
            said = ",".join(kept) if name == "objectives" else kept
            raise StudyError(
                f"the study {ledger.name} has {_option(name)} {said}; it cannot go on with {options[name]}"
            )


def _space(
    options: Mapping[str, Any], given: Collection[str], base: Mapping[str, Any], notes: list[str]
) -> dict[str, Entry]:
    entries: dict[str, Entry] = space_file.read(options["space"]) if "space" in given else dict(base.get("space", {}))
    if options["search_width"]:
        if "width" in entries:
            raise SpaceError("the space says already what widths are searched; leave out --search-width")
        entries["width"] = WIDTHS
        notes.append(f"Widths of {WIDTHS['low']} to {WIDTHS['high']} channels are searched")
    for name in ("batch_size", "augmentation"):
        if name in given and name in entries:
            raise SpaceError(f"the space says {name} already; leave out {_option(name)}")
    return entries


def _objectives(text: str | list[str]) -> list[str]:
    return [name.strip() for name in text.split(",")] if isinstance(text, str) else list(text)


def _absolute(path: Path | str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
