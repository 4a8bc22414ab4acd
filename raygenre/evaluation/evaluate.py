"""Evaluates a classifier on its test tracks, its training tracks or a whole data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raygenre.data.dataset import Dataset
from raygenre.data.inputs import inputs_of
from raygenre.data.threads import Progress
from raygenre.errors import RaygenreError
from raygenre.evaluation.chance import ChanceTest, guessing_rate
from raygenre.evaluation.genre_names import map_hint, match_genres
from raygenre.evaluation.metrics import Evaluation, evaluate_inputs
from raygenre.evaluation.slices import TRAINED_ON, Slice, TrackFacts, make_slices
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN
from raygenre.model.saliency import saliency
from raygenre.model.seen_tracks import fingerprint

Side = Literal["test", "train", "all"]
MAX_MISTAKES = 10  # maximum number of wrong predictions listed in a report


class EvaluationError(RaygenreError, ValueError):
    """The data set contains no tracks on which the classifier can be evaluated."""


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction.

    Attributes:
        track: id of the track.
        slices: names of the slices that contain the track.
        true_genre, predicted_genre: names of the genres.
        confidence: probability of the predicted genre.
        true_probability: probability of the true genre.
        levels: uint8 (128, 333).
        saliency: float32 (128, 333), evidence for the predicted genre (see `saliency.saliency`); None if the
            network's input is not a spectrogram.
    """

    track: str
    slices: tuple[str, ...]
    true_genre: str
    predicted_genre: str
    confidence: float
    true_probability: float
    levels: NDArray[np.uint8]
    saliency: NDArray[np.float32] | None


@dataclass(frozen=True)
class EvaluationReport:
    """An evaluation of a classifier on tracks of a data set, with warnings for the reader.

    Attributes:
        side: which tracks were requested.
        source, digest: source and digest of the data set.
        evaluation: evaluation on all requested tracks.
        tracks: ids of the evaluated tracks.
        slices: name and evaluation of each slice that contains some, but not all, of the tracks.
        uniform: name of each other slice for which the user provided a file, with True if the slice contains all of the
            tracks and False if it contains none.
        mistakes: at most `MAX_MISTAKES` wrong predictions, most confident first.
        own_test: whether the tracks are exactly the classifier's own test tracks.
        warnings: sentences that explain why the numbers may be misleading.
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

    def mlflow_metrics(self) -> dict[str, float]:
        """Return the metrics by MLflow name: `test_accuracy` for all tracks, `test_slice/NAME/accuracy` for a slice."""
        metrics = self.evaluation.metrics(f"{self.side}_")
        for name, part in self.slices:
            prefix = f"{self.side}_slice/{name.replace(' ', '_')}/"
            metrics |= {f"{prefix}tracks": float(part.tracks)} | part.metrics(prefix)
        return metrics


def evaluate_classifier(
    classifier: Classifier,
    dataset: Dataset,
    side: Side,
    facts: TrackFacts,
    *,
    genre_map: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> EvaluationReport:
    """Evaluate a classifier on all tracks of a data set, or only on the classifier's own test or training tracks.

    Args:
        genre_map: the data set's genre → the classifier's genre, for names that differ in form; see `genre_names`.
        progress: function to call after each track whose input is computed; see `inputs_of`.

    Raises:
        EvaluationError: the data set contains none of the requested tracks, or none of the classifier's genres.
        GenreNameError: a genre name is ambiguous, or `genre_map` contains a name that does not exist.
        DataError: none of the tracks named in a file of facts is in the data set, or the tracks are images but the
            classifier needs audio.
    """
    matched = match_genres(dataset.genres, classifier.genres, genre_map or {}, source=dataset.source)
    chosen, warnings = _choose(classifier, dataset, side, matched)
    slices = make_slices(dataset, classifier.seen, facts)
    labels = [classifier.genres.index(matched[dataset.genres[label]]) for label in dataset.labels[chosen]]
    inputs = inputs_of(dataset, classifier.input, chosen, progress=progress)
    evaluation = evaluate_inputs(classifier, inputs, np.array(labels, dtype=np.int64))
    counts = [(part, int(part.mask[chosen].sum())) for part in slices]
    proper = [part for part, count in counts if 0 < count < len(chosen)]
    uniform = tuple((part.name, count > 0) for part, count in counts if part.given and count in (0, len(chosen)))
    seen = classifier.seen
    own_test = seen is not None and seen.test == {dataset.tracks[i]: fingerprint(dataset.levels[i]) for i in chosen}
    return EvaluationReport(
        classifier,
        side,
        dataset.source,
        dataset.digest,
        evaluation,
        tuple(dataset.tracks[i] for i in chosen),
        tuple((part.name, evaluation.subset(part.mask[chosen])) for part in proper),
        uniform,
        _mistakes(classifier, dataset, chosen, evaluation, proper),
        own_test,
        (*warnings, *_training_warnings(classifier, slices, chosen), *_chance_warnings(evaluation)),
    )


def _choose(
    classifier: Classifier, dataset: Dataset, side: Side, matched: Mapping[str, str]
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the indices of the tracks to evaluate on, int64 (n,), and warnings about them."""
    warnings = []
    if side == "all":
        chosen = np.arange(len(dataset.tracks))
    elif classifier.seen is None:
        raise EvaluationError(
            f"the model has no record of its own {side} tracks; use --split all to evaluate it on all tracks of "
            f"{dataset.source}"
        )
    else:
        own, other_side = classifier.seen.test, classifier.seen.train
        if side == "train":
            own, other_side = other_side, own
        fingerprints = [fingerprint(levels) for levels in dataset.levels]
        # A renamed track is recognised by its fingerprint, unless its new id belongs to a track in the other subset.
        renamed = {mark for track, mark in own.items() if track not in dataset.tracks}
        chosen = np.flatnonzero(
            [
                track in own or (mark in renamed and track not in other_side)
                for track, mark in zip(dataset.tracks, fingerprints, strict=True)
            ]
        )
        if not len(chosen):
            raise EvaluationError(
                f"none of the model's {len(own)} {side} tracks is in {dataset.source}; use --split all to evaluate it "
                "on all tracks there"
            )
        if len(chosen) < len(own):
            warnings.append(f"Only {len(chosen)} of the model's {len(own)} {side} tracks are in this data set.")
        if changed := sum(fingerprints[i] not in own.values() for i in chosen):
            warnings.append(f"{changed} of these tracks have the id of a {side} track but a different spectrogram.")
    has_genre = np.array([dataset.genres[label] in matched for label in dataset.labels[chosen]])
    if not has_genre.any():
        raise EvaluationError(
            f"none of the genres in {dataset.source} ({', '.join(dataset.genres)}) is among the model's "
            f"({', '.join(classifier.genres)}); match genres with --map FROM=TO"
        )
    if not has_genre.all():
        skipped = sorted({dataset.genres[label] for label in dataset.labels[chosen[~has_genre]]})
        warnings.append(
            f"{(~has_genre).sum()} tracks of genres that the model was not trained on were skipped: "
            f"{', '.join(skipped)}. If one of them is among the model's ({', '.join(classifier.genres)}), match it "
            f"with {map_hint(skipped)}"
        )
    return chosen[has_genre], warnings


def _training_warnings(classifier: Classifier, slices: tuple[Slice, ...], chosen: NDArray[np.int64]) -> list[str]:
    """Return a warning if the network was, or may have been, trained on some of the tracks."""
    if classifier.seen is None:
        return ["It is not known which tracks the model was trained on; some of them may be among these."]
    trained_on = sum(int(part.mask[chosen].sum()) for part in slices if part.name == TRAINED_ON)
    if not trained_on:
        return []
    return [
        f"The model was trained on {trained_on} of these {len(chosen)} tracks. It is likely to be more accurate on "
        "those than on new music."
    ]


def _chance_warnings(evaluation: Evaluation) -> list[str]:
    """Return a warning if the classifier is no better than chance."""
    genres = evaluation.confusion.sum(axis=1).tolist()
    test = ChanceTest("evaluated", evaluation.hits, evaluation.tracks, guessing_rate(genres))
    return [] if test.is_better else [f"The model is {test.text}."]


def _mistakes(
    classifier: Classifier,
    dataset: Dataset,
    chosen: NDArray[np.int64],
    evaluation: Evaluation,
    slices: Sequence[Slice],
) -> tuple[Mistake, ...]:
    wrong = evaluation.mistakes[:MAX_MISTAKES]
    levels, predicted = dataset.levels[chosen[wrong]], evaluation.predicted[wrong]
    maps: Sequence[NDArray[np.float32] | None] = [None] * len(wrong)
    if isinstance(classifier.model, GenreCNN):
        maps = list(saliency(classifier.model, levels, predicted))
    mistakes = []
    for place, track_levels, genre, saliency_map in zip(wrong, levels, predicted, maps, strict=True):
        index, probabilities, label = chosen[place], evaluation.probabilities[place], evaluation.labels[place]
        mistakes.append(
            Mistake(
                dataset.tracks[index],
                tuple(part.name for part in slices if part.mask[index]),
                classifier.genres[label],
                classifier.genres[genre],
                float(probabilities[genre]),
                float(probabilities[label]),
                track_levels,
                saliency_map,
            )
        )
    return tuple(mistakes)
