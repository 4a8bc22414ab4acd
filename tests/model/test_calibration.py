import math

import pytest
import torch
from torch.nn import functional as F

from raygenre.model.calibration import TARGET_ACCURACY, TEMPERATURES, Calibration, calibrate, reliability


def overconfident(tracks: int, *, factor: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits for ten genres, each `factor` times too large, and labels drawn from the true probabilities."""
    generator = torch.Generator().manual_seed(seed)
    true = 2 * torch.randn(tracks, 10, generator=generator)
    labels = torch.multinomial(true.softmax(dim=1), 1, generator=generator).flatten()
    return factor * true, labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
def test_temperature_is_the_factor_of_overconfidence(factor: float) -> None:
    logits, labels = overconfident(20_000, factor=factor)
    assert calibrate(logits, labels).temperature == pytest.approx(factor, rel=0.03)


def test_temperature_minimises_the_cross_entropy() -> None:
    logits, labels = overconfident(300, factor=2)
    best = calibrate(logits, labels).temperature
    loss = F.cross_entropy(logits / best, labels)
    assert all(loss < F.cross_entropy(logits / (best * change), labels) for change in (0.8, 0.95, 1.05, 1.2))


def test_calibrated_confidence_equals_the_accuracy() -> None:
    fitted = calibrate(*overconfident(400, factor=3, seed=1))
    logits, labels = overconfident(5_000, factor=3, seed=2)

    def error(calibration: Calibration) -> float:
        confidence, predicted = calibration.probabilities(logits).max(dim=1)
        return reliability(confidence, predicted == labels).error

    assert error(fitted) < 0.04
    assert error(Calibration()) > 0.15


def test_certain_predictions_reach_the_target_accuracy() -> None:
    fitted = calibrate(*overconfident(1_000, factor=1, seed=3))
    logits, labels = overconfident(20_000, factor=1, seed=4)
    confidence, predicted = fitted.probabilities(logits).max(dim=1)
    certain = confidence >= fitted.threshold
    assert (predicted == labels)[certain].double().mean() == pytest.approx(TARGET_ACCURACY, abs=0.03)
    assert 0.2 < certain.double().mean() < 0.9


def test_random_network_is_never_certain() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(200, 10, generator=generator)
    fitted = calibrate(logits, torch.randint(10, (200,), generator=generator))
    assert fitted.temperature == pytest.approx(TEMPERATURES[1])
    assert fitted.threshold == 1.0


def test_perfect_network_is_uncertain_below_one_half() -> None:
    labels = torch.arange(40) % 10
    fitted = calibrate(F.one_hot(labels, 10) * torch.linspace(1, 8, 40)[:, None], labels)
    assert fitted.threshold == 0.5
    confidence = fitted.probabilities(F.one_hot(labels, 10) * torch.linspace(1, 8, 40)[:, None]).max(dim=1).values
    assert 0.9 < confidence.mean() < 0.99


def test_few_correct_predictions_do_not_set_a_threshold() -> None:
    """The seven most confident of a hundred predictions are correct, and the others are wrong."""
    labels = torch.zeros(100, dtype=torch.long)
    logits = torch.zeros(100, 10)
    logits[:7, 0], logits[7:, 1] = 9.0, torch.linspace(8, 4, 93)
    assert calibrate(logits, labels).threshold == 1.0


def test_calibration_error_matches_a_manual_computation() -> None:
    confidence = torch.tensor([0.95, 0.95, 0.55, 1.0])
    correct = torch.tensor([True, False, True, True])
    # The bin from 0.9 to 1 has three predictions with a mean confidence of 2.9 / 3; two of them are correct.
    assert reliability(confidence, correct).error == pytest.approx(((2.9 - 2) + 0.45) / 4)


def test_reliability_bins_match_a_manual_computation() -> None:
    bins = reliability(torch.tensor([0.05, 0.95, 0.97, 0.55, 1.0]), torch.tensor([False, True, False, True, True]))
    assert bins.counts == (1, 0, 0, 0, 0, 1, 0, 0, 0, 3)
    assert (bins.confidence[0], bins.confidence[9]) == pytest.approx((0.05, 2.92 / 3))
    assert (bins.accuracy[0], bins.accuracy[5], bins.accuracy[9]) == pytest.approx((0, 1, 2 / 3))
    assert math.isnan(bins.confidence[1])
    assert math.isnan(bins.accuracy[1])


@pytest.mark.parametrize(("temperature", "threshold"), [(0, 0.5), (float("inf"), 0.5), (1, -0.1), (1, 1.1)])
def test_out_of_range_values_raise_an_error(temperature: float, threshold: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Calibration(temperature, threshold)


def test_mismatched_logits_and_labels_raise_an_error() -> None:
    with pytest.raises(ValueError, match="as many labels as logits"):
        calibrate(torch.zeros(0, 10), torch.zeros(0, dtype=torch.long))
    with pytest.raises(ValueError, match="as many labels as logits"):
        calibrate(torch.zeros(3, 10), torch.zeros(2, dtype=torch.long))
