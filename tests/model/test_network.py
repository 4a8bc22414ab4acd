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
    [ModelConfig(normalisation="batch"), ModelConfig(frequency_bins=4), ModelConfig(widths=(8, 8, 16), dense=12)],
)
def test_other_dimensions_give_finite_logits(config: ModelConfig) -> None:
    logits = GenreCNN(config)(torch.zeros(2, N_MELS, COLUMNS, dtype=torch.uint8))
    assert logits.shape == (2, 10)
    assert torch.isfinite(logits).all()


def test_frequency_bins_distinguish_the_pitch_of_a_tone() -> None:
    """With a global average, logits hardly depend on the band of a steady tone; with four bins, they depend on it."""
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
        ("frequency_bins", 0),
        ("level_std", 0.0),
        ("level_std", math.nan),
    ],
)
def test_error_for_invalid_dimensions_names_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        ModelConfig(**{field: value})  # type: ignore[arg-type]
