from dataclasses import replace

import torch

from raygenre.evaluation.model_card import card
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


def test_a_card_says_what_is_known() -> None:
    evidence = VersionFacts(0.705, "t", synthetic=False, study="spring", sha256="feed")
    text = card(classifier(), name="raygenre/3", evidence=evidence)
    assert text.startswith("# raygenre/3\n")
    for fact in (
        "blues, rock",
        "real tracks",
        "spring",
        "abcdef012345)",
        "70.5% of the test",
        "below 60%",
        "1.50",
        "feed",
    ):
        assert fact in text


def test_a_card_does_not_hide_that_nothing_was_tested_or_that_tracks_were_synthetic() -> None:
    assert "Test: not known" in card(classifier(), name="x", evidence=None)
    synthetic = VersionFacts(1.0, "t", synthetic=True, study="spring", sha256="feed")
    assert "says nothing about music" in card(classifier(), name="x", evidence=synthetic)


def test_a_card_says_how_the_search_was_made_if_that_is_known() -> None:
    assert "Search: not known" in card(classifier(), name="x", evidence=None)
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
    text = card(replace(classifier(), origin=origin, seen=seen), name="x", evidence=None)
    for fact in (
        "drawn from seed 7, known copies on one side; validation on 5 folds",
        "20 trials of at most 40 epochs, of which the best 3 were trained again",
        "touched once",
        "2 tracks to train and to choose by, 1 to test",
        "blues 80, rock 79",
        "480 of them",
    ):
        assert fact in text
    lists = {**protocol, "split": "lists", "folds": 1, "keep_duplicates": True}
    text = card(replace(classifier(), origin={"protocol": lists}), name="x", evidence=None)
    assert (
        "taken from given lists, copies of a recording may lie on both sides; validation on one hold-out of 20%" in text
    )


def test_the_licence_note_is_about_gtzan_where_its_genres_are() -> None:
    genres = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
    gtzan = Classifier(GenreCNN(ModelConfig(genres=10, widths=(4, 4, 4))), genres)
    assert "GTZAN comes with no licence" in card(gtzan, name="x", evidence=None)
    assert "no licence" not in card(classifier(), name="x", evidence=None)
