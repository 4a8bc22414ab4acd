"""Splits the tracks of a search as its options specify."""

from pathlib import Path

from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.data.duplicates import read_duplicates
from raygenre.data.grouping import Grouping, find_grouping
from raygenre.data.splits import Split
from raygenre.search.options import OptionError
from raygenre.search.space.config import SearchConfig


def group_tracks(dataset: Dataset, config: SearchConfig) -> Grouping:
    """Group the tracks by artist, album or folder as the options specify.

    `auto` does not group tracks if the split comes from lists or may put copies of a recording in several subsets.

    Raises:
        OptionError: the options are mutually exclusive.
        DataError: the tracks cannot be grouped.
    """
    by = config.group_by
    if config.keep_duplicates and (config.artists or by not in ("auto", "none")):
        raise OptionError("--keep-duplicates splits songs without regard to artists; omit --group-by and --artists")
    if by == "auto" and not config.artists and (config.keep_duplicates or config.split == "lists"):
        return Grouping()
    return find_grouping(dataset, by, artists=Path(config.artists) if config.artists else None)


def make_split(dataset: Dataset, config: SearchConfig, grouping: Grouping) -> Split:
    """Split the tracks as the options specify.

    Raises:
        OptionError: the options are mutually exclusive.
        SplitError: the data set is too small for the options.
    """
    if config.keep_duplicates and config.duplicates:
        raise OptionError("--duplicates and --keep-duplicates are mutually exclusive; omit one of them")
    if (config.split == "lists") != (config.split_lists is not None):
        raise OptionError("--split lists and --split-lists DIR must be used together; use both or neither")
    known = read_duplicates(Path(config.duplicates)) if config.duplicates else []
    copies = None if config.keep_duplicates else known
    if config.split_lists:
        return splits.given_split(
            dataset,
            Path(config.split_lists),
            seed=config.seed,
            folds=config.folds,
            validation=config.validation,
            duplicates=copies,
            grouping=grouping,
        )
    return splits.random_split(
        dataset,
        seed=config.seed,
        folds=config.folds,
        validation=config.validation,
        duplicates=copies,
        grouping=grouping,
    )
