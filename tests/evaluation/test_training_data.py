import torch

from raygenre.evaluation.training_data import TrainingData
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig


def trained_on(origin: dict[str, object], facts: VersionFacts | None = None) -> TrainingData:
    torch.manual_seed(0)
    classifier = Classifier(GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4))), ("bells", "storm"), origin=origin)
    return TrainingData.of(classifier, facts)


def facts(*, synthetic: bool, data: str) -> VersionFacts:
    return VersionFacts(0.5, "t", synthetic, "study", "", data=data)


def test_the_registrys_facts_take_precedence() -> None:
    real = facts(synthetic=False, data="/home/someone/GTZAN")
    assert trained_on({"synthetic": True}, real) == TrainingData("real", "GTZAN")
    assert trained_on({}, facts(synthetic=True, data="synthetic")) == TrainingData("synthetic", "synthetic")


def test_a_folder_without_facts_has_its_origin() -> None:
    assert trained_on({"synthetic": True}) == TrainingData("synthetic", "synthetic")
    assert trained_on({"synthetic": False}) == TrainingData("real", "")
    assert trained_on({}) == TrainingData("unknown", "")


def test_only_synthetic_data_has_a_warning() -> None:
    assert "not on music" in TrainingData("synthetic", "synthetic").warning
    assert not TrainingData("real", "GTZAN").warning
    assert not TrainingData("unknown", "").warning
