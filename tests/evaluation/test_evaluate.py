from dataclasses import replace

import numpy as np
import pytest
import torch

from raygenre.data.dataset import Dataset
from raygenre.evaluation.evaluate import MAX_MISTAKES, EvaluationError, EvaluationReport, evaluate_classifier
from raygenre.evaluation.slices import TrackFacts
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.model.seen_tracks import SeenTracks


@pytest.fixture(scope="module")
def classifier(tracks: Dataset) -> Classifier:
    """A classifier that nearly always predicts its last genre; every third track is one of its test tracks."""
    torch.manual_seed(0)
    model = GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4))).eval()
    with torch.no_grad():
        list(model.parameters())[-1][2] = 9
    indices = np.arange(len(tracks.tracks))
    seen = SeenTracks.of(tracks.tracks, tracks.levels, train=indices[indices % 3 > 0], test=indices[indices % 3 == 0])
    return Classifier(model, tracks.genres, seen=seen)


def subset(tracks: Dataset, indices: list[int]) -> Dataset:
    return replace(
        tracks,
        levels=tracks.levels[indices],
        labels=tracks.labels[indices],
        tracks=tuple(tracks.tracks[index] for index in indices),
    )


def other_warnings(report: EvaluationReport) -> tuple[str, ...]:
    """Return all warnings except the one about a network that is no better than chance."""
    return tuple(warning for warning in report.warnings if "than chance" not in warning)


def test_a_model_is_tested_on_its_own_test_tracks(tracks: Dataset, classifier: Classifier) -> None:
    report = evaluate_classifier(classifier, tracks, "test", TrackFacts())
    assert report.tracks == tracks.tracks[::3]
    assert report.own_test
    assert other_warnings(report) == ()
    assert report.slices == ()
    assert report.evaluation.labels.tolist() == tracks.labels[::3].tolist()
    assert report.evaluation.probabilities == pytest.approx(classifier.probabilities(tracks.levels[::3]), abs=1e-6)


def test_a_model_that_only_guesses_causes_a_warning(tracks: Dataset, classifier: Classifier) -> None:
    """The network is untrained."""
    warning = evaluate_classifier(classifier, tracks, "all", TrackFacts()).warnings[-1]
    assert warning.startswith("The model is no better than chance: 10 of 30 evaluated tracks are classified correctly")


def test_training_tracks_cause_a_warning_and_a_slice(tracks: Dataset, classifier: Classifier) -> None:
    train = evaluate_classifier(classifier, tracks, "train", TrackFacts())
    assert len(train.tracks) == 20
    assert train.warnings[0].startswith("The model was trained on 20 of these 20 tracks")
    everything = evaluate_classifier(classifier, tracks, "all", TrackFacts())
    assert not everything.own_test
    assert everything.warnings[0].startswith("The model was trained on 20 of these 30 tracks")
    assert {name: part.tracks for name, part in everything.slices} == {"trained on": 20, "not trained on": 10}


def test_a_given_slice_of_all_or_no_tracks_is_listed_as_uniform(tracks: Dataset, classifier: Classifier) -> None:
    report = evaluate_classifier(
        classifier, tracks, "test", TrackFacts(faults=frozenset(tracks.tracks[1:2]))
    )  # a training track
    assert report.slices == ()
    assert report.uniform == (("faulty", False), ("not faulty", True))
    assert evaluate_classifier(classifier, tracks, "test", TrackFacts()).uniform == ()


def test_mlflow_metrics_are_of_all_tracks_and_of_each_slice(tracks: Dataset, classifier: Classifier) -> None:
    report = evaluate_classifier(classifier, tracks, "all", TrackFacts())
    metrics = report.mlflow_metrics()
    assert metrics["all_accuracy"] == report.evaluation.accuracy
    unseen = dict(report.slices)["not trained on"]
    assert metrics["all_slice/not_trained_on/tracks"] == 10
    assert metrics["all_slice/not_trained_on/accuracy"] == unseen.accuracy


def test_a_test_track_equal_to_a_training_track_causes_a_warning(tracks: Dataset, classifier: Classifier) -> None:
    levels = tracks.levels.copy()
    levels[0] = levels[1]
    report = evaluate_classifier(classifier, replace(tracks, levels=levels), "test", TrackFacts())
    assert report.tracks == tracks.tracks[::3]
    assert not report.own_test
    assert other_warnings(report) == (
        "1 of these tracks have the id of a test track but a different spectrogram.",
        "The model was trained on 1 of these 10 tracks. It is likely to be more accurate on those than on new music.",
    )


def test_renamed_test_tracks_are_recognised(tracks: Dataset, classifier: Classifier) -> None:
    renamed = replace(subset(tracks, [0, 1, 3]), tracks=("new", "newer", "newest"))
    report = evaluate_classifier(classifier, renamed, "test", TrackFacts())
    assert report.tracks == ("new", "newest")
    assert not report.own_test
    assert other_warnings(report) == ("Only 2 of the model's 10 test tracks are in this data set.",)


def test_a_training_track_never_replaces_a_missing_test_track(tracks: Dataset, classifier: Classifier) -> None:
    fewer = subset(tracks, [1, 3])
    fewer.levels[0] = tracks.levels[0]
    assert evaluate_classifier(classifier, fewer, "test", TrackFacts()).tracks == (tracks.tracks[3],)


def test_other_data_sets_are_rejected_with_the_remedy(tracks: Dataset, classifier: Classifier) -> None:
    with pytest.raises(EvaluationError, match=r"none of the model's 10 test tracks is in .*--split all"):
        evaluate_classifier(classifier, subset(tracks, [1, 2]), "test", TrackFacts())
    with pytest.raises(EvaluationError, match=r"no record of its own test tracks; use --split all"):
        evaluate_classifier(replace(classifier, seen=None), tracks, "test", TrackFacts())
    without_record = evaluate_classifier(replace(classifier, seen=None), tracks, "all", TrackFacts())
    assert other_warnings(without_record) == (
        "It is not known which tracks the model was trained on; some of them may be among these.",
    )


def test_genres_are_matched_by_name_and_others_are_skipped(tracks: Dataset, classifier: Classifier) -> None:
    """The data set begins with an additional genre, so the other genres' indices differ from those in the model."""
    changed = replace(tracks, labels=tracks.labels + 1, genres=("alphorn", *tracks.genres))
    changed.labels[:4] = 0
    report = evaluate_classifier(classifier, changed, "all", TrackFacts())
    assert report.evaluation.labels.tolist() == tracks.labels[4:].tolist()
    [skipped] = [warning for warning in report.warnings if "alphorn" in warning]
    assert skipped.startswith("4 tracks of genres that the model was not trained on were skipped: alphorn.")
    assert skipped.endswith("(bells, drone, storm), match it with --map alphorn=GENRE")
    with pytest.raises(
        EvaluationError, match=r"none of the genres in .* \(x, y, z\) is among the model's \(bells, drone, storm\)"
    ):
        evaluate_classifier(classifier, replace(tracks, genres=("x", "y", "z")), "all", TrackFacts())


def test_genres_are_matched_by_form_or_by_the_users_map(tracks: Dataset, classifier: Classifier) -> None:
    spelt = replace(tracks, genres=("BELLS", "Dr-one", "thunder"))
    whole = evaluate_classifier(classifier, tracks, "all", TrackFacts())
    report = evaluate_classifier(classifier, spelt, "all", TrackFacts(), genre_map={"thunder": "Storm"})
    assert report.evaluation.labels.tolist() == whole.evaluation.labels.tolist()
    fewer = evaluate_classifier(classifier, spelt, "all", TrackFacts())
    assert fewer.evaluation.tracks == 20
    assert any("--map thunder=GENRE" in warning for warning in fewer.warnings)


def test_mistakes_are_the_most_confident_ones(tracks: Dataset, classifier: Classifier) -> None:
    report = evaluate_classifier(classifier, tracks, "all", TrackFacts(faults=frozenset(tracks.tracks[:5])))
    assert len(report.mistakes) == MAX_MISTAKES
    confidence = [mistake.confidence for mistake in report.mistakes]
    assert confidence == sorted(confidence, reverse=True)
    first = report.mistakes[0]
    index = tracks.tracks.index(first.track)
    probabilities = classifier.probabilities(tracks.levels[index : index + 1])[0]
    assert first.true_genre == tracks.genres[tracks.labels[index]] != first.predicted_genre == "storm"
    expected = (probabilities[2], probabilities[tracks.labels[index]])
    assert (first.confidence, first.true_probability) == pytest.approx(expected, abs=1e-6)
    assert (first.levels == tracks.levels[index]).all()
    assert first.saliency is not None
    assert first.saliency.shape == (128, 333)
    assert {"trained on", "not trained on", "faulty", "not faulty"} >= set(first.slices)
    assert ("faulty" in first.slices) == (index < 5)
