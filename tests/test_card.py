import torch

from raygenre.calibration import Calibration
from raygenre.card import card
from raygenre.classifier import Classifier
from raygenre.evidence import Evidence
from raygenre.model import GenreCNN, ModelConfig


def classifier() -> Classifier:
    torch.manual_seed(0)
    origin = {"study": "spring", "data_digest": "abcdef0123456789"}
    return Classifier(GenreCNN(ModelConfig(genres=2)), ("blues", "rock"), Calibration(1.5, 0.6), origin, "feed")


def test_a_card_says_what_is_known() -> None:
    evidence = Evidence(0.705, "t", synthetic=False, study="spring", sha256="feed")
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
    synthetic = Evidence(1.0, "t", synthetic=True, study="spring", sha256="feed")
    assert "says nothing about music" in card(classifier(), name="x", evidence=synthetic)
