from dataclasses import replace

import numpy as np
import pytest
import torch

from raygenre.data.dataset import Dataset
from raygenre.evaluation.evaluate import MISTAKES, EvaluationError, evaluate_classifier
from raygenre.evaluation.slices import Known
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.model.seen_tracks import SeenTracks


@pytest.fixture(scope="module")
def classifier(tracks: Dataset) -> Classifier:
    """It nearly always names the last of its genres, and was tested on every third track."""
    torch.manual_seed(0)
    model = GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4))).eval()
    with torch.no_grad():
        list(model.parameters())[-1][2] = 9
    places = np.arange(len(tracks.tracks))
    seen = SeenTracks.of(tracks.tracks, tracks.levels, train=places[places % 3 > 0], test=places[places % 3 == 0])
    return Classifier(model, tracks.genres, seen=seen)


def some(tracks: Dataset, places: list[int]) -> Dataset:
    return replace(
        tracks,
        levels=tracks.levels[places],
        labels=tracks.labels[places],
        tracks=tuple(tracks.tracks[place] for place in places),
    )


def test_a_model_is_tested_on_its_own_test_tracks(tracks: Dataset, classifier: Classifier) -> None:
    found = evaluate_classifier(classifier, tracks, "test", Known())
    assert found.tracks == tracks.tracks[::3]
    assert found.own_test
    assert found.warnings == ()
    assert found.slices == ()
    assert found.evaluation.labels.tolist() == tracks.labels[::3].tolist()
    assert found.evaluation.probabilities == pytest.approx(classifier.probabilities(tracks.levels[::3]), abs=1e-6)


def test_tracks_that_taught_it_are_warned_of_and_told_apart(tracks: Dataset, classifier: Classifier) -> None:
    train = evaluate_classifier(classifier, tracks, "train", Known())
    assert len(train.tracks) == 20
    assert train.warnings[0].startswith("The model was trained on 20 of these 20 tracks")
    everything = evaluate_classifier(classifier, tracks, "all", Known())
    assert not everything.own_test
    assert everything.warnings[0].startswith("The model was trained on 20 of these 30 tracks")
    assert {name: part.tracks for name, part in everything.slices} == {"trained on": 20, "not trained on": 10}


def test_what_a_file_was_given_for_is_said_even_if_it_tells_no_tracks_apart(
    tracks: Dataset, classifier: Classifier
) -> None:
    found = evaluate_classifier(
        classifier, tracks, "test", Known(faults=frozenset(tracks.tracks[1:2]))
    )  # of its training tracks
    assert found.slices == ()
    assert found.uniform == (("faulty", False), ("not faulty", True))
    assert evaluate_classifier(classifier, tracks, "test", Known()).uniform == ()


def test_numbers_for_mlflow_are_those_of_all_tracks_and_of_each_slice(tracks: Dataset, classifier: Classifier) -> None:
    found = evaluate_classifier(classifier, tracks, "all", Known())
    numbers = found.numbers()
    assert numbers["all_accuracy"] == found.evaluation.accuracy
    new = dict(found.slices)["not trained on"]
    assert numbers["all_slice/not_trained_on/tracks"] == 10
    assert numbers["all_slice/not_trained_on/accuracy"] == new.accuracy


def test_a_test_track_that_is_the_picture_of_a_training_track_is_warned_of(
    tracks: Dataset, classifier: Classifier
) -> None:
    levels = tracks.levels.copy()
    levels[0] = levels[1]
    found = evaluate_classifier(classifier, replace(tracks, levels=levels), "test", Known())
    assert found.tracks == tracks.tracks[::3]
    assert not found.own_test
    assert found.warnings == (
        "1 of these tracks have the name of one of its test tracks, and another picture.",
        "The model was trained on 1 of these 10 tracks: on those the numbers flatter it, and say nothing of songs that "
        "it has not heard.",
    )


def test_test_tracks_are_found_under_other_names_and_missing_ones_are_counted(
    tracks: Dataset, classifier: Classifier
) -> None:
    renamed = replace(some(tracks, [0, 1, 3]), tracks=("new", "newer", "newest"))
    found = evaluate_classifier(classifier, renamed, "test", Known())
    assert found.tracks == ("new", "newest")
    assert not found.own_test
    assert found.warnings == ("Only 2 of the model's 10 test tracks are in these data.",)


def test_a_training_track_that_looks_like_a_missing_test_track_is_not_taken_for_it(
    tracks: Dataset, classifier: Classifier
) -> None:
    fewer = some(tracks, [1, 3])
    fewer.levels[0] = tracks.levels[0]
    assert evaluate_classifier(classifier, fewer, "test", Known()).tracks == (tracks.tracks[3],)


def test_other_data_are_refused_with_the_remedy(tracks: Dataset, classifier: Classifier) -> None:
    with pytest.raises(EvaluationError, match=r"none of the model's 10 test tracks is in .*--split all"):
        evaluate_classifier(classifier, some(tracks, [1, 2]), "test", Known())
    with pytest.raises(EvaluationError, match=r"not noted its own test tracks; --split all"):
        evaluate_classifier(replace(classifier, seen=None), tracks, "test", Known())
    unknown = evaluate_classifier(replace(classifier, seen=None), tracks, "all", Known())
    assert unknown.warnings == (
        "It is not known which tracks the model was trained on; any of these may be among them.",
    )


def test_genres_go_by_their_names_and_others_are_left_out(tracks: Dataset, classifier: Classifier) -> None:
    """The data have a genre more before the others, so that each has another number."""
    changed = replace(tracks, labels=tracks.labels + 1, genres=("alphorn", *tracks.genres))
    changed.labels[:4] = 0
    found = evaluate_classifier(classifier, changed, "all", Known())
    assert found.evaluation.labels.tolist() == tracks.labels[4:].tolist()
    assert "4 tracks of genres that the model does not know were left out: alphorn." in found.warnings
    with pytest.raises(EvaluationError, match="not among the model's, bells, drone, storm"):
        evaluate_classifier(classifier, replace(tracks, genres=("x", "y", "z")), "all", Known())


def test_mistakes_are_the_most_confident_and_say_what_they_are(tracks: Dataset, classifier: Classifier) -> None:
    found = evaluate_classifier(classifier, tracks, "all", Known(faults=frozenset(tracks.tracks[:5])))
    assert len(found.mistakes) == MISTAKES
    confidence = [mistake.confidence for mistake in found.mistakes]
    assert confidence == sorted(confidence, reverse=True)
    first = found.mistakes[0]
    place = tracks.tracks.index(first.track)
    answer = classifier.probabilities(tracks.levels[place : place + 1])[0]
    assert first.true == tracks.genres[tracks.labels[place]] != first.named == "storm"
    assert (first.confidence, first.chance) == pytest.approx((answer[2], answer[tracks.labels[place]]), abs=1e-6)
    assert (first.levels == tracks.levels[place]).all()
    assert first.saliency.shape == (128, 333)
    assert {"trained on", "not trained on", "faulty", "not faulty"} >= set(first.slices)
    assert ("faulty" in first.slices) == (place < 5)
