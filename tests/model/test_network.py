import itertools
import math

import pytest
import torch
from torch import nn

from raygenre.model.network import GenreCNN, ModelConfig, parameter_count
from raygenre.spectrogram.levels import COLUMNS, N_MELS


def test_logits_have_one_row_per_track_and_column_per_genre() -> None:
    model = GenreCNN(ModelConfig(genres=7))
    assert model(torch.zeros(3, N_MELS, COLUMNS, dtype=torch.uint8)).shape == (3, 7)


def test_parameter_count_is_the_sum_over_layers() -> None:
    # 3×3 kernels with biases for 1-32-64-128 channels, and dense layers 128-64 and 64-10
    expected = (9 * 1 + 1) * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 128 + (128 + 1) * 64 + (64 + 1) * 10
    assert parameter_count(GenreCNN(ModelConfig())) == expected


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(normalisation="batch"),
        ModelConfig(frequency_bins=4),
        ModelConfig(widths=(8, 8, 16), dense=12),
        ModelConfig(widths=(4, 8, 8, 16), stem="strided", frequency_bins=16, normalisation="batch", crop_columns=96),
    ],
)
def test_other_dimensions_give_finite_logits(config: ModelConfig) -> None:
    logits = GenreCNN(config)(torch.zeros(2, N_MELS, COLUMNS, dtype=torch.uint8))
    assert logits.shape == (2, 10)
    assert torch.isfinite(logits).all()


def test_frequency_bins_distinguish_the_pitch_of_a_tone() -> None:
    """With a global average, the logits hardly depend on the band of a steady tone; with four bins, they clearly do."""
    low, high = (torch.zeros(1, N_MELS, COLUMNS, dtype=torch.uint8) for _ in range(2))
    low[:, 20:24], high[:, 100:104] = 255, 255

    def difference(bins: int) -> float:
        torch.manual_seed(0)
        model = GenreCNN(ModelConfig(frequency_bins=bins)).eval()
        with torch.inference_mode():
            return float((model(low) - model(high)).abs().max())

    assert difference(4) > 10 * difference(1)


def test_relu_after_pooling_equals_relu_before_pooling() -> None:
    model = GenreCNN(ModelConfig()).eval()
    levels = torch.randint(0, 256, (2, N_MELS, COLUMNS), dtype=torch.uint8)
    swapped = [module for module in model.features if not isinstance(module, nn.Dropout)]
    for i, module in enumerate(swapped[:-1]):
        if isinstance(module, nn.MaxPool2d):
            swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]
    with torch.inference_mode():
        images = ((levels.float() - model.config.level_mean) / model.config.level_std)[:, None]
        expected = model.classifier(model.pool(nn.Sequential(*swapped)(images)).flatten(1))
        assert torch.allclose(model(levels), expected, atol=1e-4)


@pytest.mark.parametrize(("columns", "count"), [(333, 1), (332, 2), (200, 3), (96, 6), (32, 20)])
def test_crops_are_evenly_spaced_and_cover_the_track(columns: int, count: int) -> None:
    starts = ModelConfig(crop_columns=columns).crop_starts
    assert len(starts) == count
    assert (starts[0], starts[-1]) == (0, COLUMNS - columns)
    steps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert max(steps, default=0) <= columns / 2 + 1
    assert max(steps, default=0) - min(steps, default=0) <= 1


def test_probabilities_of_a_track_are_the_mean_over_its_crops() -> None:
    model = GenreCNN(ModelConfig(widths=(4, 4, 8), crop_columns=96)).eval()
    levels = torch.randint(0, 256, (3, N_MELS, COLUMNS), dtype=torch.uint8)
    with torch.inference_mode():
        each = [model(levels[..., start : start + 96]).softmax(dim=1) for start in model.config.crop_starts]
        assert torch.allclose(model(levels).softmax(dim=1), torch.stack(each).mean(dim=0), atol=1e-6)
        assert not torch.allclose(each[0], each[1], atol=1e-6)


def test_training_sees_the_columns_that_it_is_given() -> None:
    model = GenreCNN(ModelConfig(widths=(4, 4, 8), crop_columns=96, dropout=0.0)).train()
    crop = torch.randint(0, 256, (2, N_MELS, 96), dtype=torch.uint8)
    assert torch.allclose(model(crop), model.eval()(crop), atol=1e-6)


def test_dropout_is_active_only_in_training() -> None:
    model = GenreCNN(ModelConfig(dropout=0.5))
    levels = torch.randint(0, 256, (2, N_MELS, COLUMNS), dtype=torch.uint8)
    assert not torch.equal(model.train()(levels), model(levels))
    assert torch.equal(model.eval()(levels), model(levels))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("genres", 1),
        ("widths", (32, 64)),
        ("dense", 0),
        ("dropout", 1.0),
        ("normalisation", "layer"),
        ("widths", (4, 4, 4, 4, 4)),
        ("frequency_bins", 0),
        ("frequency_bins", 33),
        ("stem", "patch"),
        ("crop_columns", 31),
        ("crop_columns", 334),
        ("level_std", 0.0),
        ("level_std", math.nan),
    ],
)
def test_error_for_invalid_dimensions_names_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        ModelConfig(**{field: value})  # type: ignore[arg-type]
