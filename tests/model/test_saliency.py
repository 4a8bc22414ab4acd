"""Saliency maps of tones at known times and pitches, from networks with handmade weights."""

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from numpy.typing import NDArray

from raygenre.audio.decoding import SAMPLE_RATE
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.model.saliency import saliency
from raygenre.spectrogram.levels import levels

SECONDS = 30.0
COLUMNS_PER_SECOND = 333 / SECONDS


def bursts(*tones: tuple[float, float]) -> NDArray[np.uint8]:
    """Return the levels of half-second tones in silence, each given as (start in s, frequency in Hz)."""
    time = torch.arange(int(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    samples = sum(torch.sin(2 * torch.pi * pitch * time) * ((time - start).abs() < 0.25) for start, pitch in tones)
    assert isinstance(samples, torch.Tensor)
    return levels(samples.float()).numpy()


def handmade(bins: int, weights: list[list[float]], *, crop: int = 333) -> GenreCNN:
    """Return a network that passes levels through and multiplies the bins' means by `weights` (genre, bin)."""
    model = GenreCNN(
        ModelConfig(
            genres=len(weights),
            widths=(1, 1, 1),
            dense=bins,
            frequency_bins=bins,
            crop_columns=crop,
            level_mean=0.0,
            level_std=255.0,
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for layer in model.features:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight[..., 1, 1] = 1
        first, last = (layer for layer in model.classifier if isinstance(layer, torch.nn.Linear))
        first.weight.copy_(torch.eye(bins))
        last.weight.copy_(torch.tensor(weights))
    return model


def share_within(saliency_map: NDArray[np.float32], start: float) -> float:
    """Return the share of the saliency within 0.6 s of the time `start`."""
    near = np.abs(np.arange(333) / COLUMNS_PER_SECOND - start) < 0.6
    return float(saliency_map[:, near].sum() / saliency_map.sum())


@pytest.mark.parametrize("start", [4.0, 15.0, 26.0])
@pytest.mark.parametrize("crop", [333, 96])
def test_map_highlights_the_tone_at_any_time(start: float, crop: int) -> None:
    network = handmade(1, [[1.0], [-1.0]], crop=crop)
    [saliency_map] = saliency(network, bursts((start, 1000.0))[None], np.array([0]))
    assert saliency_map.shape == (128, 333)
    assert saliency_map.max() == 1
    assert share_within(saliency_map, start) > 0.95


def test_evidence_against_a_genre_is_not_shown() -> None:
    image = bursts((15.0, 1000.0))
    maps = saliency(handmade(1, [[1.0], [-1.0]]), np.stack([image, image]), np.array([0, 1]))
    assert maps[0].max() == 1
    assert not maps[1].any()


def test_each_frequency_bin_has_its_own_weight() -> None:
    """The song has an early low tone and a late high tone. Low tones favour the first genre, high tones the second."""
    image = bursts((6.0, 200.0), (24.0, 8000.0))
    maps = saliency(handmade(2, [[0.0, 1.0], [1.0, 0.0]]), np.stack([image, image]), np.array([1, 0]))
    assert share_within(maps[0], 6.0) > 0.95
    assert share_within(maps[1], 24.0) > 0.95


@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_map_equals_grad_cam_with_one_frequency_bin(normalisation: str) -> None:
    torch.manual_seed(0)
    model = GenreCNN(ModelConfig(genres=3, normalisation=normalisation)).eval()  # type: ignore[arg-type]
    images = np.random.default_rng(0).integers(0, 256, (10, 128, 333), dtype=np.uint8)
    genres = np.arange(10) % 3
    own = saliency(model, images, genres)
    inputs, targets = torch.from_numpy(images).float(), torch.from_numpy(genres)
    captum = LayerGradCam(model, model.features).attribute(inputs, target=targets, relu_attributions=True).detach()
    expected = LayerAttribution.interpolate(captum, (128, 333), "bilinear")[:, 0].numpy()
    maximum = expected.max(axis=(1, 2), keepdims=True)
    assert own == pytest.approx(np.divide(expected, maximum, out=np.zeros_like(expected), where=maximum > 0), abs=1e-5)
    assert own.any(axis=(1, 2)).sum() > 5


def test_network_is_unchanged() -> None:
    model = handmade(1, [[1.0], [-1.0]])
    saliency(model, bursts((15.0, 1000.0))[None], np.array([0]))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.features._forward_hooks


def test_no_tracks_give_no_maps() -> None:
    nothing = np.zeros((0, 128, 333), dtype=np.uint8)
    assert saliency(handmade(1, [[1.0], [-1.0]]), nothing, np.zeros(0, dtype=np.int64)).shape == (0, 128, 333)
