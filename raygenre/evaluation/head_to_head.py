"""Two classifiers answer the same tracks, of which neither was trained on any.

Which tracks taught a network is known by their ids and pictures, see `seen`. A copy of a training track in another
mastering is not recognised: a search keeps such copies on one side, another search may have put them on the other.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raygenre.data.dataset import Dataset, load
from raygenre.errors import RaygenreError
from raygenre.evaluation.paired_test import PairedTest
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier
from raygenre.model.seen_tracks import SeenTracks, fingerprint


class NoContestError(RaygenreError, ValueError):
    """The two cannot be compared; the message says why."""


def compare_with_champion(
    candidate: Classifier, incumbent: Classifier, data: Callable[[], Dataset], *, name: str
) -> PairedTest:
    """Compare on the candidate's test tracks less those that the incumbent was trained on.

    Args:
        data: loads the data set; called only if the two can be compared.
        name: what messages call the incumbent.

    Raises:
        NoContestError: the genres differ, it is not known what taught one of them, or the data lack test tracks.
    """
    _same_genres(candidate, incumbent, name)
    own, others = _seen(candidate, "this version"), _seen(incumbent, name)
    dataset = data()
    tested = _tested(own, dataset)
    if missing := len(own.test) - int(tested.sum()):
        raise NoContestError(
            f"{missing} of its {len(own.test)} test tracks are not in {dataset.source}, or have changed; "
            "name its data with --data"
        )
    return _compare(candidate, incumbent, dataset, tested & others.unseen(dataset.tracks, dataset.levels))


def compare_pair(first: Classifier, second: Classifier, dataset: Dataset) -> PairedTest:
    """Compare two of which neither is the champion: on the test tracks of either that neither was trained on.

    Raises:
        NoContestError: as for `compare_with_champion`, but for test tracks that the data lack.
    """
    _same_genres(first, second, "the other")
    seen = [_seen(first, "one of them"), _seen(second, "one of them")]
    tested = np.logical_or.reduce([_tested(own, dataset) for own in seen])
    unseen = np.logical_and.reduce([own.unseen(dataset.tracks, dataset.levels) for own in seen])
    return _compare(first, second, dataset, tested & unseen)


def tested_data(evidence: VersionFacts | None, source: Path | None, *, cache: Path) -> Dataset:
    """Load the data set with the tracks that a version was tested on: from `source`, or from where it was then.

    Raises:
        NoContestError: it is not known where that was, or there is no data set any more.
        ValueError: `source` is none.
    """
    if source:
        return load(source, cache=cache)
    if not (evidence and evidence.data):
        raise NoContestError("it is not known where its data are; name them with --data")
    try:
        return load(None if evidence.data == "synthetic" else Path(evidence.data), cache=cache)
    except ValueError as error:
        raise NoContestError(f"{error}; if its data are elsewhere by now, name them with --data") from error


def _same_genres(candidate: Classifier, incumbent: Classifier, name: str) -> None:
    if candidate.genres != incumbent.genres:
        raise NoContestError(
            f"it names other genres ({', '.join(candidate.genres)}) than {name} ({', '.join(incumbent.genres)})"
        )


def _seen(classifier: Classifier, name: str) -> SeenTracks:
    if classifier.seen is None:
        raise NoContestError(f"it is not known which tracks {name} was trained on")
    return classifier.seen


def _tested(seen: SeenTracks, dataset: Dataset) -> NDArray[np.bool_]:
    """bool (N,): which tracks of the data a classifier was tested on, as they were then."""
    return np.array(
        [
            seen.test.get(track) == fingerprint(picture) if track in seen.test else False
            for track, picture in zip(dataset.tracks, dataset.levels, strict=True)
        ],
        dtype=np.bool_,
    )


def _compare(candidate: Classifier, incumbent: Classifier, dataset: Dataset, chosen: NDArray[np.bool_]) -> PairedTest:
    if candidate.genres != dataset.genres:
        raise NoContestError(f"{dataset.source} has other genres ({', '.join(dataset.genres)})")
    if not chosen.any():
        raise NoContestError("no track is left that neither was trained on")
    levels, labels = dataset.levels[chosen], dataset.labels[chosen]
    right = [classifier.probabilities(levels).argmax(axis=1) == labels for classifier in (candidate, incumbent)]
    return PairedTest.of(*right)
