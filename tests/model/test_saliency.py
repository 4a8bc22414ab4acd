"""What the map points at is known beforehand: sounds at known times and pitches, networks with weights set by hand."""

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
COLUMN = 333 / SECONDS  # a second


def bursts(*places: tuple[float, float]) -> NDArray[np.uint8]:
    """Tones of half a second at (s, Hz), in silence."""
    time = torch.arange(int(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    samples = sum(torch.sin(2 * torch.pi * pitch * time) * ((time - start).abs() < 0.25) for start, pitch in places)
    assert isinstance(samples, torch.Tensor)
    return levels(samples.float()).numpy()


def handmade(bins: int, weights: list[list[float]]) -> GenreCNN:
    """A network that passes levels through, whose genres have these weights (genre, bin) over the bins' means."""
    model = GenreCNN(
        ModelConfig(
            genres=len(weights), widths=(1, 1, 1), dense=bins, frequency_bins=bins, level_mean=0.0, level_std=255.0
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


def share_within(found: NDArray[np.float32], start: float) -> float:
    """Share of the map within 0.6 s of a burst."""
    near = np.abs(np.arange(333) / COLUMN - start) < 0.6
    return float(found[:, near].sum() / found.sum())


@pytest.mark.parametrize("start", [4.0, 15.0, 26.0])
def test_the_map_points_at_the_burst_wherever_it_sounds(start: float) -> None:
    [found] = saliency(handmade(1, [[1.0], [-1.0]]), bursts((start, 1000.0))[None], np.array([0]))
    assert found.shape == (128, 333)
    assert found.max() == 1
    assert share_within(found, start) > 0.95


def test_what_speaks_against_a_genre_is_not_shown() -> None:
    picture = bursts((15.0, 1000.0))
    found = saliency(handmade(1, [[1.0], [-1.0]]), np.stack([picture, picture]), np.array([0, 1]))
    assert found[0].max() == 1
    assert not found[1].any()


def test_each_bin_of_frequencies_has_its_own_weight() -> None:
    """A low tone early, a high one late; one genre asks for low tones, the other for high ones."""
    picture = bursts((6.0, 200.0), (24.0, 8000.0))
    found = saliency(handmade(2, [[0.0, 1.0], [1.0, 0.0]]), np.stack([picture, picture]), np.array([1, 0]))
    assert share_within(found[0], 6.0) > 0.95
    assert share_within(found[1], 24.0) > 0.95


@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_it_is_grad_cam_where_everything_is_pooled(normalisation: str) -> None:
    torch.manual_seed(0)
    model = GenreCNN(ModelConfig(genres=3, normalisation=normalisation)).eval()  # type: ignore[arg-type]
    pictures = np.random.default_rng(0).integers(0, 256, (10, 128, 333), dtype=np.uint8)
    genres = np.arange(10) % 3
    own = saliency(model, pictures, genres)
    inputs, targets = torch.from_numpy(pictures).float(), torch.from_numpy(genres)
    captum = LayerGradCam(model, model.features).attribute(inputs, target=targets, relu_attributions=True).detach()
    whole = LayerAttribution.interpolate(captum, (128, 333), "bilinear")[:, 0].numpy()
    most = whole.max(axis=(1, 2), keepdims=True)
    assert own == pytest.approx(np.divide(whole, most, out=np.zeros_like(whole), where=most > 0), abs=1e-5)
    assert own.any(axis=(1, 2)).sum() > 5


def test_the_network_is_left_as_it_was() -> None:
    model = handmade(1, [[1.0], [-1.0]])
    saliency(model, bursts((15.0, 1000.0))[None], np.array([0]))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.features._forward_hooks


def test_no_tracks_make_no_maps() -> None:
    nothing = np.zeros((0, 128, 333), dtype=np.uint8)
    assert saliency(handmade(1, [[1.0], [-1.0]]), nothing, np.zeros(0, dtype=np.int64)).shape == (0, 128, 333)
