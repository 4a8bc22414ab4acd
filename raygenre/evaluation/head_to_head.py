"""Compares two classifiers on tracks on which neither was trained.

The inputs of the two classifiers may be of different kinds. Training tracks are recognised by their ids and
spectrograms; see `seen_tracks`. A different mastering of a training track is not recognised. A search keeps known
copies of a recording in the same subset, but the search that trained the other classifier may have put one copy in its
training subset and another in its test subset.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raygenre.data.dataset import Dataset, load
from raygenre.data.inputs import inputs_of
from raygenre.data.track_files import DataError
from raygenre.errors import RaygenreError
from raygenre.evaluation.paired_test import PairedTest
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier
from raygenre.model.seen_tracks import SeenTracks, fingerprint


class NotComparableError(RaygenreError, ValueError):
    """Two classifiers cannot be compared."""


def compare_with_champion(
    candidate: Classifier, incumbent: Classifier, data: Callable[[], Dataset], *, name: str
) -> PairedTest:
    """Compare two classifiers on the candidate's test tracks, excluding those that the incumbent was trained on.

    Args:
        data: function that loads the candidate's data set; called only if the two classifiers can be compared.
        name: name used for the incumbent in messages.

    Raises:
        NotComparableError: the genres differ, a classifier has no record of its training tracks, test tracks are
            missing from the data set, or a classifier needs recordings but the data set has images.
    """
    _check_genres(candidate, incumbent, name)
    seen, incumbent_seen = _seen_tracks(candidate, "this version"), _seen_tracks(incumbent, name)
    dataset = data()
    tested = _tested(seen, dataset)
    if missing := len(seen.test) - int(tested.sum()):
        raise NotComparableError(
            f"{missing} of its {len(seen.test)} test tracks are missing or changed in {dataset.source}; "
            "use --data to name the data set it was trained on"
        )
    return _compare(candidate, incumbent, dataset, tested & incumbent_seen.unseen(dataset.tracks, dataset.levels))


def compare_pair(first: Classifier, second: Classifier, dataset: Dataset) -> PairedTest:
    """Compare two classifiers on their combined test tracks, excluding tracks that either of them was trained on.

    Test tracks that are missing from the data set are ignored.

    Raises:
        NotComparableError: the genres differ, a classifier has no record of its training tracks, no tracks are left,
            or a classifier needs recordings but the data set has images.
    """
    _check_genres(first, second, "the other")
    seen = [_seen_tracks(classifier, "one of them") for classifier in (first, second)]
    tested = np.logical_or.reduce([_tested(tracks, dataset) for tracks in seen])
    unseen = np.logical_and.reduce([tracks.unseen(dataset.tracks, dataset.levels) for tracks in seen])
    return _compare(first, second, dataset, tested & unseen)


def tested_data(facts: VersionFacts | None, source: Path | None, *, genres: Sequence[str], cache: Path) -> Dataset:
    """Load the data set that contains a version's test tracks.

    Args:
        source: folder of the data set; by default the folder recorded with the version.
        genres: the version's genres. Class folders whose names differ only in case are merged if this results in these
            genres, because the version's search may have merged them.

    Raises:
        NotComparableError: no data set is recorded, or the recorded data set no longer exists.
        ValueError: `source` is not a data set.
    """
    if source:
        return _with_genres(source, genres, cache)
    if not (facts and facts.data):
        raise NotComparableError("the registry has no record of its data set; specify it with --data")
    try:
        return load(None, cache=cache) if facts.data == "synthetic" else _with_genres(Path(facts.data), genres, cache)
    except ValueError as error:
        raise NotComparableError(f"{error}; if its data set was moved, specify the new path with --data") from error


def _with_genres(source: Path, genres: Sequence[str], cache: Path) -> Dataset:
    dataset = load(source, cache=cache)
    if dataset.genres != tuple(genres) and len({genre.casefold() for genre in dataset.genres}) < len(dataset.genres):
        merged = load(source, cache=cache, merge_case=True)
        return merged if merged.genres == tuple(genres) else dataset
    return dataset


def _check_genres(candidate: Classifier, incumbent: Classifier, name: str) -> None:
    if candidate.genres != incumbent.genres:
        raise NotComparableError(
            f"its genres ({', '.join(candidate.genres)}) differ from those of {name} ({', '.join(incumbent.genres)})"
        )


def _seen_tracks(classifier: Classifier, name: str) -> SeenTracks:
    if classifier.seen is None:
        raise NotComparableError(f"it is not known which tracks {name} was trained on")
    return classifier.seen


def _tested(seen: SeenTracks, dataset: Dataset) -> NDArray[np.bool_]:
    """Return a mask, bool (N,), of the data set's tracks that are unchanged test tracks of a classifier."""
    return np.array(
        [
            seen.test.get(track) == fingerprint(levels) if track in seen.test else False
            for track, levels in zip(dataset.tracks, dataset.levels, strict=True)
        ],
        dtype=np.bool_,
    )


def _compare(candidate: Classifier, incumbent: Classifier, dataset: Dataset, chosen: NDArray[np.bool_]) -> PairedTest:
    if candidate.genres != dataset.genres:
        raise NotComparableError(f"the data set {dataset.source} has different genres ({', '.join(dataset.genres)})")
    if not chosen.any():
        raise NotComparableError("no tracks remain that neither model was trained on")
    labels = dataset.labels[chosen]
    try:
        inputs = [inputs_of(dataset, classifier.input, chosen) for classifier in (candidate, incumbent)]
    except DataError as error:
        raise NotComparableError(str(error)) from error
    classified = zip((candidate, incumbent), inputs, strict=True)
    return PairedTest.of(
        *(classifier.probabilities(values).argmax(axis=1) == labels for classifier, values in classified)
    )
