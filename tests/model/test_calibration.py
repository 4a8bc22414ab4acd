import math

import pytest
import torch
from torch.nn import functional as F

from raygenre.model.calibration import TEMPERATURES, TRUSTED, Calibration, calibrate, reliability


def overconfident(tracks: int, *, factor: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of ten genres that are `factor` times too large, and labels drawn from what the true ones say."""
    chance = torch.Generator().manual_seed(seed)
    true = 2 * torch.randn(tracks, 10, generator=chance)
    labels = torch.multinomial(true.softmax(dim=1), 1, generator=chance).flatten()
    return factor * true, labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
def test_the_temperature_is_the_factor_by_which_logits_are_too_large(factor: float) -> None:
    logits, labels = overconfident(20_000, factor=factor)
    assert calibrate(logits, labels).temperature == pytest.approx(factor, rel=0.03)


def test_the_temperature_has_the_lowest_cross_entropy() -> None:
    logits, labels = overconfident(300, factor=2)
    best = calibrate(logits, labels).temperature
    loss = F.cross_entropy(logits / best, labels)
    assert all(loss < F.cross_entropy(logits / (best * change), labels) for change in (0.8, 0.95, 1.05, 1.2))


def test_calibrated_confidence_is_the_share_of_right_answers() -> None:
    fitted = calibrate(*overconfident(400, factor=3, seed=1))
    logits, labels = overconfident(5_000, factor=3, seed=2)

    def error(calibration: Calibration) -> float:
        confidence, answers = calibration.probabilities(logits).max(dim=1)
        return reliability(confidence, answers == labels).error

    assert error(fitted) < 0.04
    assert error(Calibration()) > 0.15


def test_certain_answers_are_as_often_right_as_promised() -> None:
    fitted = calibrate(*overconfident(1_000, factor=1, seed=3))
    logits, labels = overconfident(20_000, factor=1, seed=4)
    confidence, answers = fitted.probabilities(logits).max(dim=1)
    certain = confidence >= fitted.threshold
    assert (answers == labels)[certain].double().mean() == pytest.approx(TRUSTED, abs=0.03)
    assert 0.2 < certain.double().mean() < 0.9


def test_a_network_that_knows_nothing_is_never_certain() -> None:
    chance = torch.Generator().manual_seed(0)
    fitted = calibrate(5 * torch.randn(200, 10, generator=chance), torch.randint(10, (200,), generator=chance))
    assert fitted.temperature == pytest.approx(TEMPERATURES[1])
    assert fitted.threshold == 1.0


def test_a_network_that_knows_everything_is_uncertain_below_one_half() -> None:
    labels = torch.arange(40) % 10
    fitted = calibrate(F.one_hot(labels, 10) * torch.linspace(1, 8, 40)[:, None], labels)
    assert fitted.threshold == 0.5
    confidence = fitted.probabilities(F.one_hot(labels, 10) * torch.linspace(1, 8, 40)[:, None]).max(dim=1).values
    assert 0.9 < confidence.mean() < 0.99


def test_a_few_lucky_answers_are_not_enough() -> None:
    """The seven surest of a hundred are right, and the others are not."""
    labels = torch.zeros(100, dtype=torch.long)
    logits = torch.zeros(100, 10)
    logits[:7, 0], logits[7:, 1] = 9.0, torch.linspace(8, 4, 93)
    assert calibrate(logits, labels).threshold == 1.0


def test_calibration_error_by_hand() -> None:
    confidence = torch.tensor([0.95, 0.95, 0.55, 1.0])
    right = torch.tensor([True, False, True, True])
    # The bin from 0.9 has three answers, two of them right, and a mean confidence of 2.9 / 3.
    assert reliability(confidence, right).error == pytest.approx(((2.9 - 2) + 0.45) / 4)


def test_reliability_by_hand() -> None:
    bins = reliability(torch.tensor([0.05, 0.95, 0.97, 0.55, 1.0]), torch.tensor([False, True, False, True, True]))
    assert bins.answers == (1, 0, 0, 0, 0, 1, 0, 0, 0, 3)
    assert (bins.confidence[0], bins.confidence[9]) == pytest.approx((0.05, 2.92 / 3))
    assert (bins.right[0], bins.right[5], bins.right[9]) == pytest.approx((0, 1, 2 / 3))
    assert math.isnan(bins.confidence[1])
    assert math.isnan(bins.right[1])


@pytest.mark.parametrize(("temperature", "threshold"), [(0, 0.5), (float("inf"), 0.5), (1, -0.1), (1, 1.1)])
def test_impossible_values_are_refused(temperature: float, threshold: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Calibration(temperature, threshold)


def test_no_tracks_or_other_tracks_are_refused() -> None:
    with pytest.raises(ValueError, match="as many labels"):
        calibrate(torch.zeros(0, 10), torch.zeros(0, dtype=torch.long))
    with pytest.raises(ValueError, match="as many labels"):
        calibrate(torch.zeros(3, 10), torch.zeros(2, dtype=torch.long))
