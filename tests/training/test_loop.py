import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from raygenre.data.dataset import Dataset
from raygenre.model.inference import predict_logits
from raygenre.spectrogram.levels import COLUMNS
from raygenre.training.config import TrainingConfig
from raygenre.training.divergence import DivergedError
from raygenre.training.loop import EpochMetrics, fit
from raygenre.training.member import Member, fitted
from tests.helpers.networks import CPU, SMALL


def member(
    tracks: Dataset, seed: int = 0, *, crop: int = COLUMNS, dropout: float = SMALL.dropout, **training: Any
) -> Member:
    positions = np.arange(len(tracks.tracks), dtype=np.int64)
    config = TrainingConfig(**{"batch_size": 8, "precision": "float32", **training})
    model = replace(SMALL, crop_columns=crop, dropout=dropout)
    return Member(model, config, seed=seed, train=positions[::2], validation=positions[1::2], device=CPU)


def curve(tracks: Dataset, *members: Member, epochs: int = 2) -> list[EpochMetrics]:
    """Return the metrics without the durations, which differ from run to run."""
    rows = fit(tracks.levels, tracks.labels, members, epochs=epochs)
    return [replace(row, seconds=0.0, images_per_second=0.0) for row in rows]


def test_same_seed_gives_the_same_metrics(tracks: Dataset) -> None:
    assert curve(tracks, member(tracks, 1)) == curve(tracks, member(tracks, 1))


def test_another_seed_gives_other_metrics(tracks: Dataset) -> None:
    assert curve(tracks, member(tracks, 1)) != curve(tracks, member(tracks, 2))


def test_every_epoch_has_other_random_numbers(tracks: Dataset) -> None:
    """The weights hardly change, so only the track order and dropout can change the loss between epochs."""
    first, second = curve(tracks, member(tracks, learning_rate=1e-12), epochs=2)
    assert abs(first.train_loss - second.train_loss) > 1e-4


def test_members_do_not_influence_each_other(tracks: Dataset) -> None:
    together = curve(tracks, member(tracks, 1), member(tracks, 2))
    assert [row for row in together if row.member == 0] == curve(tracks, member(tracks, 1))
    second = [replace(row, member=0) for row in together if row.member == 1]
    assert second == curve(tracks, member(tracks, 2))


def test_training_does_not_change_global_random_state(tracks: Dataset) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    curve(tracks, member(tracks), epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_training_reduces_the_loss(tracks: Dataset) -> None:
    rows = curve(tracks, member(tracks, learning_rate=3e-3), epochs=12)
    assert rows[-1].train_loss < 0.6 * rows[0].train_loss
    assert max(row.validation_accuracy for row in rows) > 0.8  # guessing gives an accuracy of 1/3


def test_learning_rate_decays_by_the_formula(tracks: Dataset) -> None:
    rows = curve(tracks, member(tracks, learning_rate=1e-3, decay=0.5), epochs=3)
    assert [row.learning_rate for row in rows] == pytest.approx([1e-3, 1e-3 / 1.5, 1e-3 / 2])


def test_chunks_of_a_batch_add_up_to_the_batch(tracks: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    # Dropout is disabled because its masks are drawn separately for each chunk.
    plain = replace(SMALL, dropout=0.0)
    positions = np.arange(len(tracks.tracks), dtype=np.int64)
    weights = []
    for chunk in (5, 64):
        monkeypatch.setattr("raygenre.training.loop.CPU_CHUNK", chunk)
        config = TrainingConfig(batch_size=20, precision="float32")
        trained = Member(plain, config, seed=0, train=positions, validation=positions[:0], device=CPU)
        list(fit(tracks.levels, tracks.labels, [trained], epochs=1))
        weights.append(trained.model.state_dict())
    for name, tensor in weights[0].items():
        assert torch.allclose(tensor, weights[1][name], atol=1e-5), name


def test_batch_normalisation_trains_on_whole_batches(tracks: Dataset) -> None:
    positions = np.arange(len(tracks.tracks), dtype=np.int64)
    config = TrainingConfig(batch_size=30, precision="float32")
    normalised = replace(SMALL, normalisation="batch")
    trained = Member(normalised, config, seed=0, train=positions, validation=positions[:0], device=CPU)
    list(fit(tracks.levels, tracks.labels, [trained], epochs=1))
    assert trained.model.state_dict()["features.1.num_batches_tracked"] == 1


def test_member_without_validation_tracks_reports_nan(tracks: Dataset) -> None:
    positions = np.arange(len(tracks.tracks), dtype=np.int64)
    trained = Member(SMALL, TrainingConfig(), seed=0, train=positions, validation=positions[:0], device=CPU)
    [row] = fit(tracks.levels, tracks.labels, [trained], epochs=1)
    assert math.isnan(row.validation_loss)
    assert math.isnan(row.validation_accuracy)


def test_diverged_training_is_an_error(tracks: Dataset) -> None:
    with pytest.raises(DivergedError, match=r"loss is (nan|inf).*epoch \d"):
        curve(tracks, member(tracks, learning_rate=1e30), epochs=3)


def test_a_finite_loss_far_above_guessing_is_an_error(tracks: Dataset) -> None:
    with pytest.raises(DivergedError, match=r"training loss is \S{1,9} in epoch 2 .*, more than 10 times .*1\.099"):
        curve(tracks, member(tracks, learning_rate=1e3), epochs=3)


def test_training_on_read_only_levels_does_not_warn(tracks: Dataset) -> None:
    """Levels in Ray's object store are read-only, and pytest turns torch's warning into an error."""
    shared = tracks.levels.copy()
    shared.flags.writeable = False
    list(fit(shared, tracks.labels, [member(tracks)], epochs=1))


def test_augmentation_changes_metrics_but_not_levels(tracks: Dataset) -> None:
    before = tracks.levels.copy()
    assert curve(tracks, member(tracks, augmentation="erasing")) != curve(tracks, member(tracks))
    assert np.array_equal(before, tracks.levels)


def test_bfloat16_gives_nearly_the_same_logits(tracks: Dataset) -> None:
    model = member(tracks).model
    exact = predict_logits(model, tracks.levels)
    rounded = predict_logits(model, tracks.levels, precision="bfloat16")
    assert exact.dtype == rounded.dtype == torch.float32
    assert torch.allclose(exact, rounded, atol=0.05)
    assert not torch.equal(exact, rounded)


def test_fitted_uses_the_training_tracks_alone(tracks: Dataset) -> None:
    train = np.array([0, 3, 11])
    config = fitted(SMALL, tracks.levels, train)
    assert config.level_mean == pytest.approx(tracks.levels[train].mean())
    assert config.level_std == pytest.approx(tracks.levels[train].std())


ALL_MEANS: dict[str, Any] = {
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "schedule": "one-cycle",
    "label_smoothing": 0.1,
    "mixup": 0.2,
    "masks": 1,
    "distortion": 1.0,
    "averaging": 0.9,
    "crops": 2,
}


@pytest.mark.parametrize("name", [*ALL_MEANS, "all"])
def test_every_means_changes_training_reproducibly(tracks: Dataset, name: str) -> None:
    changed = ALL_MEANS if name == "all" else {"optimizer": "adamw", name: ALL_MEANS[name]}
    plain: dict[str, Any] = {} if name == "optimizer" else {"optimizer": "adamw"}
    # Only the last epochs are compared, because a schedule does not affect the loss before its first step.
    rows = curve(tracks, member(tracks, crop=96, **changed))
    assert rows == curve(tracks, member(tracks, crop=96, **changed))
    assert rows[-1] != curve(tracks, member(tracks, crop=96, **plain))[-1]
    assert all(math.isfinite(row.train_loss) for row in rows)


def test_crops_differ_between_epochs_and_seeds(tracks: Dataset) -> None:
    """The weights hardly change and dropout is disabled, so only the crops can change the loss."""

    def losses(seed: int) -> list[float]:
        still = member(tracks, seed, crop=64, dropout=0.0, learning_rate=1e-12, batch_size=15)
        return [row.train_loss for row in curve(tracks, still, epochs=2)]

    first, second = losses(1)
    assert abs(first - second) > 1e-4
    whole = member(tracks, 1, dropout=0.0, learning_rate=1e-12, batch_size=15)
    before, after = curve(tracks, whole, epochs=2)
    assert before.train_loss == pytest.approx(after.train_loss, abs=1e-5)


def test_averaged_weights_are_validated(tracks: Dataset) -> None:
    trained = member(tracks, averaging=0.9)
    curve(tracks, trained)
    assert trained.average is trained.network is not trained.model
    logits = predict_logits(trained.network, tracks.levels[trained.validation])
    assert trained.validation_logits is not None
    assert torch.allclose(trained.validation_logits, logits, atol=1e-6)


def test_average_is_the_moving_average_of_every_step(tracks: Dataset) -> None:
    trained = member(tracks, averaging=0.5, batch_size=15)  # one step per epoch
    expected: dict[str, torch.Tensor] = {
        name: weights.clone() for name, weights in trained.network.state_dict().items()
    }
    for epoch in range(3):
        curve(tracks, trained, epochs=epoch + 1)
        decay = min(0.5, (1 + epoch) / (10 + epoch))
        for name, weights in trained.model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * weights
    for name, weights in trained.network.state_dict().items():
        assert torch.allclose(weights, expected[name], atol=1e-6), name


def test_label_smoothing_and_mixup_raise_the_lowest_loss(tracks: Dataset) -> None:
    """A network that is certain of the right genre is penalised for assigning no probability to the others."""
    sure = curve(tracks, member(tracks, learning_rate=3e-3), epochs=12)[-1].train_loss
    for name in ("label_smoothing", "mixup"):
        value = ALL_MEANS[name]
        assert (
            curve(tracks, member(tracks, learning_rate=3e-3, **{name: value}), epochs=12)[-1].train_loss > sure + 0.02
        )
