"""An evaluation with its circumstances: which tracks, whether they taught the network, and how each slice fares."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raygenre.data.dataset import Dataset
from raygenre.errors import RaygenreError
from raygenre.evaluation.metrics import Evaluation, evaluate
from raygenre.evaluation.slices import TAUGHT, Known, Slice, slices
from raygenre.model.classifier import Classifier
from raygenre.model.saliency import saliency
from raygenre.model.seen_tracks import fingerprint

Side = Literal["test", "train", "all"]
MISTAKES = 10  # that are shown


class EvaluationError(RaygenreError, ValueError):
    """The data hold nothing to evaluate on; the message names the remedy."""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer, and what it looks like.

    Attributes:
        track: id.
        slices: names of those it belongs to.
        true, named: genres.
        confidence: probability of the named genre.
        chance: probability of the true one.
        levels: uint8 (128, 333).
        saliency: float32 (128, 333), where the named genre was found, see `saliency.saliency`.
    """

    track: str
    slices: tuple[str, ...]
    true: str
    named: str
    confidence: float
    chance: float
    levels: NDArray[np.uint8]
    saliency: NDArray[np.float32]


@dataclass(frozen=True)
class EvaluationReport:
    """What one classifier did on some tracks of a data set.

    Attributes:
        classifier: that was evaluated.
        side: which tracks were asked for.
        source, digest: of the data set.
        evaluation: on all of the tracks.
        tracks: their ids.
        slices: name and evaluation of each slice that holds some of the tracks and not all.
        uniform: name of each other slice that a file was given for, and whether it holds all of the tracks or none.
        mistakes: the most confident ones first, `MISTAKES` at most.
        own_test: whether these are all of the tracks that the classifier was tested on, and no others.
        warnings: why the numbers may say something else than they seem to.
    """

    classifier: Classifier
    side: Side
    source: str
    digest: str
    evaluation: Evaluation
    tracks: tuple[str, ...]
    slices: tuple[tuple[str, Evaluation], ...]
    uniform: tuple[tuple[str, bool], ...]
    mistakes: tuple[Mistake, ...]
    own_test: bool
    warnings: tuple[str, ...]

    def numbers(self) -> dict[str, float]:
        """Return what MLflow holds of it: of all tracks as `test_accuracy`, of a slice `test_slice/NAME/accuracy`."""
        found = self.evaluation.numbers(f"{self.side}_")
        for name, part in self.slices:
            about = f"{self.side}_slice/{name.replace(' ', '_')}"
            found |= {f"{about}/tracks": float(part.tracks)} | part.numbers(f"{about}/")
        return found


def evaluate_classifier(classifier: Classifier, dataset: Dataset, side: Side, known: Known) -> EvaluationReport:
    """Evaluate a classifier on its own test or training tracks, as far as they are in a data set, or on all of it.

    Raises:
        EvaluationError: no track of that side is in the data, or none of a genre that the classifier knows.
        DataError: a file of what is known names no track of the data.
    """
    chosen, warnings = _choose(classifier, dataset, side)
    parts = slices(dataset, classifier.seen, known)
    position = [classifier.genres.index(dataset.genres[label]) for label in dataset.labels[chosen]]
    evaluation = evaluate(classifier, dataset.levels[chosen], np.array(position, dtype=np.int64))
    counts = [(part, int(part.mask[chosen].sum())) for part in parts]
    told = [part for part, count in counts if 0 < count < len(chosen)]
    uniform = tuple((part.name, count > 0) for part, count in counts if part.given and count in (0, len(chosen)))
    seen = classifier.seen
    own = seen is not None and seen.test == {dataset.tracks[i]: fingerprint(dataset.levels[i]) for i in chosen}
    return EvaluationReport(
        classifier,
        side,
        dataset.source,
        dataset.digest,
        evaluation,
        tuple(dataset.tracks[i] for i in chosen),
        tuple((part.name, evaluation.part(part.mask[chosen])) for part in told),
        uniform,
        _mistakes(classifier, dataset, chosen, evaluation, told),
        own,
        (*warnings, *_taught(classifier, parts, chosen)),
    )


def _choose(classifier: Classifier, dataset: Dataset, side: Side) -> tuple[NDArray[np.int64], list[str]]:
    """Places of the tracks of a side, int64 (n,), and what is to be said of them."""
    warnings = []
    if side == "all":
        chosen = np.arange(len(dataset.tracks))
    elif classifier.seen is None:
        raise EvaluationError(
            f"the model has not noted its own {side} tracks; --split all evaluates it on all tracks of {dataset.source}"
        )
    else:
        own, other = classifier.seen.test, classifier.seen.train
        if side == "train":
            own, other = other, own
        pictures = [fingerprint(levels) for levels in dataset.levels]
        # A track that is not there by its name may be there by another, but not by that of one on the other side.
        sought = {mark for track, mark in own.items() if track not in dataset.tracks}
        named = list(zip(dataset.tracks, pictures, strict=True))
        there = [track in own or (mark in sought and track not in other) for track, mark in named]
        chosen = np.flatnonzero(there)
        if not len(chosen):
            raise EvaluationError(
                f"none of the model's {len(own)} {side} tracks is in {dataset.source}; "
                "--split all evaluates it on all tracks there"
            )
        if len(chosen) < len(own):
            warnings.append(f"Only {len(chosen)} of the model's {len(own)} {side} tracks are in these data.")
        if redrawn := sum(pictures[i] not in own.values() for i in chosen):
            warnings.append(
                f"{redrawn} of these tracks have the name of one of its {side} tracks, and another picture."
            )
    known = np.array([dataset.genres[label] in classifier.genres for label in dataset.labels[chosen]])
    if not known.any():
        raise EvaluationError(
            f"the genres in {dataset.source}, {', '.join(dataset.genres)}, are not among the model's, "
            f"{', '.join(classifier.genres)}"
        )
    if not known.all():
        left_out = sorted({dataset.genres[label] for label in dataset.labels[chosen[~known]]})
        warnings.append(
            f"{(~known).sum()} tracks of genres that the model does not know were left out: {', '.join(left_out)}."
        )
    return chosen[known], warnings


def _taught(classifier: Classifier, parts: tuple[Slice, ...], chosen: NDArray[np.int64]) -> list[str]:
    """Warn of tracks that the network was trained on."""
    if classifier.seen is None:
        return ["It is not known which tracks the model was trained on; any of these may be among them."]
    taught = sum(int(part.mask[chosen].sum()) for part in parts if part.name == TAUGHT)
    if not taught:
        return []
    return [
        f"The model was trained on {taught} of these {len(chosen)} tracks: on those the numbers flatter it, and say "
        "nothing of songs that it has not heard."
    ]


def _mistakes(
    classifier: Classifier,
    dataset: Dataset,
    chosen: NDArray[np.int64],
    evaluation: Evaluation,
    parts: Sequence[Slice],
) -> tuple[Mistake, ...]:
    places = evaluation.mistakes[:MISTAKES]
    levels, named = dataset.levels[chosen[places]], evaluation.predicted[places]
    found = []
    for place, picture, name, evidence in zip(
        places, levels, named, saliency(classifier.model, levels, named), strict=True
    ):
        index, answer, label = chosen[place], evaluation.probabilities[place], evaluation.labels[place]
        found.append(
            Mistake(
                dataset.tracks[index],
                tuple(part.name for part in parts if part.mask[index]),
                classifier.genres[label],
                classifier.genres[name],
                float(answer[name]),
                float(answer[label]),
                picture,
                evidence,
            )
        )
    return tuple(found)
