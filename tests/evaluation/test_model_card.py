from dataclasses import replace

import torch

from raygenre.evaluation.model_card import markdown_card
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.calibration import Calibration
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.model.seen_tracks import SeenTracks


def classifier() -> Classifier:
    torch.manual_seed(0)
    origin = {"study": "spring", "data_digest": "abcdef0123456789"}
    return Classifier(
        GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4))), ("blues", "rock"), Calibration(1.5, 0.6), origin, "feed"
    )


def test_a_card_has_the_recorded_facts() -> None:
    facts = VersionFacts(0.705, "t", synthetic=False, study="spring", sha256="feed")
    text = markdown_card(classifier(), name="raygenre/3", facts=facts)
    assert text.startswith("# raygenre/3\n")
    for fact in (
        "blues, rock",
        "real tracks",
        "spring",
        "abcdef012345)",
        "70.5% of the test tracks were classified correctly",
        "below 60%",
        "1.50",
        "feed",
    ):
        assert fact in text


def test_a_card_names_a_missing_test_and_synthetic_tracks() -> None:
    assert "Test: unknown" in markdown_card(classifier(), name="x", facts=None)
    synthetic = VersionFacts(1.0, "t", synthetic=True, study="spring", sha256="feed")
    assert "cannot classify real music" in markdown_card(classifier(), name="x", facts=synthetic)


def test_a_card_describes_the_search_if_it_is_recorded() -> None:
    assert "Search: unknown" in markdown_card(classifier(), name="x", facts=None)
    protocol = {
        "split": "random",
        "seed": 7,
        "folds": 5,
        "validation": 0.2,
        "trials": 20,
        "epochs": 40,
        "top_k": 3,
        "keep_duplicates": False,
    }
    origin = {"protocol": protocol, "train_counts": {"blues": 80, "rock": 79}, "calibrated_on": 480}
    seen = SeenTracks(train={"a": "1", "b": "2"}, test={"c": "3"})
    text = markdown_card(replace(classifier(), origin=origin, seen=seen), name="x", facts=None)
    for fact in (
        "random with seed 7; known copies of a recording are kept together. Validation: 5-fold cross-validation of",
        "20 trials of at most 40 epochs; the best 3 were repeated with new seeds",
        "used once, after model selection",
        "2 tracks for training and model selection, 1 for testing",
        "blues 80, rock 79",
        "number of tracks: 480",
        "Songs of one artist may be in both the training and the test tracks: expect a lower accuracy",
    ):
        assert fact in text
    lists = {**protocol, "split": "lists", "folds": 1, "keep_duplicates": True}
    text = markdown_card(replace(classifier(), origin={"protocol": lists}), name="x", facts=None)
    assert "lists; copies of a recording may be in both the training and the test tracks. Validation: a hold" in text
    assert "depends on the lists" in text
    grouped = {**protocol, "group_by": "artist"}
    text = markdown_card(replace(classifier(), origin={"protocol": grouped}), name="x", facts=None)
    assert "All tracks of one artist are in the same subset, so the test accuracy applies to unknown artists" in text


def test_the_licence_is_about_gtzan_if_the_genres_are() -> None:
    genres = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
    gtzan = Classifier(GenreCNN(ModelConfig(genres=10, widths=(4, 4, 4))), genres)
    assert "GTZAN has no licence" in markdown_card(gtzan, name="x", facts=None)
    assert "no licence" not in markdown_card(classifier(), name="x", facts=None)
