import math

import pytest

from raygenre.training.config import TrainingConfig

STEPS = [index / 100 for index in range(100)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", 0.0),
        ("decay", -0.1),
        ("batch_size", 0),
        ("augmentation", "x"),
        ("precision", "half"),
        ("optimizer", "sgd"),
        ("schedule", "linear"),
        ("weight_decay", -1.0),
        ("label_smoothing", 1.0),
        ("mixup", math.nan),
        ("masks", -1),
        ("distortion", math.inf),
        ("averaging", 1.0),
        ("crops", 0),
    ],
)
def test_invalid_settings_are_rejected_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        TrainingConfig(**{field: value})  # type: ignore[arg-type]


def test_cosine_falls_from_the_learning_rate_to_zero() -> None:
    config = TrainingConfig(learning_rate=0.2, decay=0.0, schedule="cosine")
    rates = [config.learning_rate_at(step, 0) for step in STEPS]
    assert rates[0] == 0.2
    assert rates[50] == pytest.approx(0.1)
    assert rates[-1] < 1e-4
    assert rates == sorted(rates, reverse=True)


def test_one_cycle_rises_first_and_then_falls() -> None:
    config = TrainingConfig(learning_rate=0.2, decay=0.0, schedule="one-cycle")
    rates = [config.learning_rate_at(step, 0) for step in STEPS]
    assert rates[0] == pytest.approx(0.2 / 25)
    assert rates[:31] == sorted(rates[:31])
    assert rates[30] == pytest.approx(0.2)
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert rates[-1] < 1e-3


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_decay_divides_the_rate_of_every_schedule(schedule: str) -> None:
    plain = TrainingConfig(decay=0.0, schedule=schedule)  # type: ignore[arg-type]
    decayed = TrainingConfig(decay=0.5, schedule=schedule)  # type: ignore[arg-type]
    assert decayed.learning_rate_at(0.4, 3) == pytest.approx(plain.learning_rate_at(0.4, 3) / 2.5)
