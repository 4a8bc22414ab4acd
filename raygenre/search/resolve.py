"""Combines the options of `raygenre tune` and, if specified, run.yaml into a configuration.

An option on the command line overrides run.yaml, which overrides the defaults. Values that depend on other values
(`auto` for the sampler and the preset, the defaults for synthetic tracks, the scheduler for several objectives) are
resolved here, so the stored configuration can be run again unchanged.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from raygenre.data.dataset import Dataset
from raygenre.search.duration import parse_duration
from raygenre.search.network_choice import check_head
from raygenre.search.options import OptionError, Options
from raygenre.search.space import space_file
from raygenre.search.space.choices import NetworkName, PresetName
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.objectives import is_multi_objective
from raygenre.search.space.presets import HEAD, PRESETS
from raygenre.search.space.samplers import choose_sampler
from raygenre.search.space.space import (
    WIDTHS,
    Entry,
    Setting,
    SpaceError,
    Value,
    default_entries,
    nearest_point,
    to_distributions,
)
from raygenre.search.space.start_points import parse
from raygenre.search.study.backend import StudyError
from raygenre.search.study.earlier_studies import EarlierSetting
from raygenre.search.study.ledger import Ledger
from raygenre.search.warm_start import warm_start

SMALL = {"trials": 8, "epochs": 8, "batch_size": 4, "top_k": 2}  # defaults for the 200 synthetic tracks
SMALL_NETWORK: dict[str, Entry] = {"width": 8, "frequency_bins": 4}  # enough for 200 tracks; otherwise, 32 and 1 apply
LARGE = {"trials": 20, "top_k": 3}  # defaults for real music; see also `Preset`
_AS_GIVEN = ("seed", "split", "folds", "validation", "augmentation")
_PATHS = ("split_lists", "duplicates", "artists")
_ONLY_NEW = (
    *(*_PATHS, "keep_duplicates", "group_by", "merge_case"),
    *("space", "search_width", "start", "from_studies", "from_best", "config", "model", "preset"),
)
_FIXED = (*_AS_GIVEN, "epochs", "sampler", "scheduler", "batch_size", "top_k", "objectives")


def resolve(
    options: Options,
    tracks: Dataset,
    base: Mapping[str, Any] | None = None,
    *,
    network: NetworkName = "cnn",
    earlier: Sequence[EarlierSetting] = (),
) -> tuple[SearchConfig, dict[str, str]]:
    """Return the configuration of a new search, and a dict of notes for the user about resolved values, keyed by topic.

    Args:
        base: fields of run.yaml from an earlier search.
        network: the network that `choose_network` returned.
        earlier: the best settings of the studies in `from_studies`.

    Raises:
        OptionError: the data differs from that of the earlier search.
        RaygenreError: options are invalid or mutually exclusive.
    """
    # Earlier versions could not group tracks, so their run.yaml lacks these fields.
    base = {"group_by": "none", "artists": None} | dict(base) if base else {}

    def chosen(name: str) -> Any:
        return base[name] if name in base and name not in options.given else getattr(options, name)

    if base and "data" not in options.given and base["data_digest"] != tracks.digest:
        raise OptionError(
            f"the data in {tracks.source} has changed since the search in --config ran; "
            "use --data to run the same search on different data"
        )
    notes: dict[str, str] = {}
    preset = HEAD if network == "head" else PRESETS[_preset_name(options, tracks)]
    defaults = {**LARGE, "epochs": preset.epochs, "batch_size": preset.batch_size}
    if tracks.synthetic:
        defaults = SMALL | ({"epochs": HEAD.epochs, "batch_size": HEAD.batch_size} if network == "head" else {})
    size: dict[str, Any] = {name: chosen(name) or defaults[name] for name in ("trials", "epochs", "batch_size")}
    space = _space(options, base, notes)
    if base and "preset" in options.given:
        raise OptionError("--config already specifies the space; omit --preset")
    if network == "head" and (options.space or not base):
        check_head({name: entry for name, entry in space.items() if name != "network"}, size["batch_size"])
    if not base:
        space = preset.entries | space
    if options.preset == "auto" and not tracks.synthetic and not base and network == "cnn":
        notes["preset"] = "improved; --preset original: the project's first network"
    if tracks.synthetic and not base and network == "cnn":
        space = SMALL_NETWORK | space
        small = ", ".join(f"{name.replace('_', ' ')} {space[name]}" for name in SMALL_NETWORK)
        notes["network"] = f"{small} (defaults for synthetic tracks; --space overrides them)"
    distributions = to_distributions(default_entries(size["epochs"]) | space)
    # Values that a start point does not specify are taken from the preset. The points in run.yaml are complete.
    others = nearest_point(distributions, preset.start) if preset.start != Setting() and not base else {}
    if "start" in options.given:
        starts = [others | parse(text) for text in options.start]
    elif others and not earlier:
        starts = [others]
    else:
        starts = list(base.get("starts", []))
        if "epochs" in options.given or "space" in options.given:  # the ranges may have changed
            starts = [_inside(point, distributions) for point in starts]
    sources = [] if "start" in options.given else list(base.get("warm_start", []))
    if earlier:
        warm = warm_start(earlier, distributions, network=network, most=max(0, size["trials"] - len(starts)))
        starts, sources = [*starts, *(others | point for point in warm.points)], [*sources, *warm.sources]
        notes["warm start"] = warm.note
    objectives = _objectives(chosen("objectives"))
    scheduler = chosen("scheduler")
    if is_multi_objective(objectives) and "scheduler" not in options.given and scheduler != "none":
        scheduler = "none"
        notes["scheduler"] = "none, because Optuna supports no intermediate values for several objectives"
    sampler = chosen("sampler")
    if sampler == "auto":
        sampler, reason = choose_sampler(
            trials=size["trials"], scheduler=scheduler, space=distributions, objectives=objectives
        )
        notes["sampler"] = f"{sampler}: {reason}"
    config = SearchConfig(
        data=None if tracks.synthetic else tracks.source,
        data_digest=tracks.digest,
        top_k=options.top_k or min(base.get("top_k", defaults["top_k"]), size["trials"]),
        sampler=sampler,
        scheduler=scheduler,
        space=space,
        starts=starts,
        objectives=objectives,
        keep_duplicates=bool(chosen("keep_duplicates")),
        split_lists=_absolute(chosen("split_lists")),
        duplicates=_absolute(chosen("duplicates")),
        group_by=chosen("group_by"),
        artists=_absolute(chosen("artists")),
        merge_case=merges_case(options, base),
        time_budget=time_budget(options) if "time_budget" in options.given else base.get("time_budget", 0),
        patience=chosen("patience"),
        warm_start=sources,
        **size,
        **{name: chosen(name) for name in _AS_GIVEN},
    )
    _check_networks(config)
    return config, notes


def merges_case(options: Options, base: Mapping[str, Any] | None) -> bool:
    """Return whether a new search treats class folders whose names differ only in case as one class."""
    return options.merge_case or bool(base and base.get("merge_case"))


def time_budget(options: Options) -> float:
    """Return the time budget that the user has set, in s; 0 for none."""
    return parse_duration(options.time_budget or "0", "--time-budget")


def check_unchanged(options: Options, ledger: Ledger) -> None:
    """Check that the options for resuming a search do not contradict its study.

    Raises:
        StudyError: an option contradicts the study.
    """
    for name in _ONLY_NEW:
        if name in options.given:
            raise StudyError(
                f"{_option(name)} applies only to a new study, but {ledger.name} already exists; omit the option "
                "to resume, or start a new study"
            )
    for name in _FIXED:
        if name not in options.given or (name == "sampler" and options.sampler == "auto"):
            continue
        stored, requested = getattr(ledger.config, name), getattr(options, name)
        if (_objectives(requested) if name == "objectives" else requested) != stored:
            text = ",".join(stored) if name == "objectives" else stored
            raise StudyError(
                f"the study {ledger.name} has {_option(name)} {text} and cannot be resumed with {requested}; "
                "omit the option, or start a new study"
            )


def _inside(point: Mapping[str, Value], distributions: Mapping[str, BaseDistribution]) -> dict[str, Value]:
    """Return the point's values for the hyperparameters that a space still contains, moved into the space's ranges."""
    kept = {name: value for name, value in point.items() if name in distributions}
    return nearest_point({name: distributions[name] for name in kept}, Setting(**kept))  # type: ignore[arg-type]


def _check_networks(config: SearchConfig) -> None:
    """Check that both ends of each range, and all choices, result in a valid network.

    Raises:
        SpaceError: a value, combined with the fixed values, results in an invalid network.
    """
    start = nearest_point(config.distributions)
    for name, distribution in config.distributions.items():
        is_choice = isinstance(distribution, CategoricalDistribution)
        for value in distribution.choices if is_choice else (distribution.low, distribution.high):  # type: ignore[attr-defined]
            try:
                config.setting({**start, name: value}).model(2)
            except ValueError as error:
                raise SpaceError(f"the space contains {name} {value}: {error}") from error


def _preset_name(options: Options, tracks: Dataset) -> PresetName:
    if options.preset != "auto":
        return options.preset
    return "original" if tracks.synthetic else "improved"


def _space(options: Options, base: Mapping[str, Any], notes: dict[str, str]) -> dict[str, Entry]:
    entries: dict[str, Entry] = dict(base.get("space", {})) | (space_file.read(options.space) if options.space else {})
    if options.search_width:
        if "width" in entries:
            raise SpaceError("the space already contains width; omit --search-width")
        entries["width"] = WIDTHS
        notes["width"] = f"{WIDTHS['low']} to {WIDTHS['high']} channels"
    for name in ("batch_size", "augmentation"):
        if name in options.given and name in entries:
            raise SpaceError(f"the space already contains {name}; omit {_option(name)}")
    return entries


def _objectives(names: str | list[str]) -> list[str]:
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def _absolute(path: Path | str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _option(name: str) -> str:
    return "--from" if name == "from_studies" else f"--{name.replace('_', '-')}"
